"""Every figure of a text in one pass over its bytes, compiled: called through `signals.signals`."""

# mypy: ignore-errors
# (types are numba's here)

import numpy as np

from llm.compiled import compiled, inner
from llm.corpus.text.c4_marks import CURLY, LOREM, POLICY, SCRIPT, closes, phrases_at
from llm.corpus.text.characters import (
    AFFIX,
    BULLET,
    DIGIT,
    LETTER,
    LOWER,
    PUNCTUATION,
    SPACE,
    STOP,
    SYMBOL,
    TERMINAL,
    TRIGGER,
    UNSPACED,
    UPPER,
    WORD,
)
from llm.corpus.text.points import SEED, folded_in, point_at, spread
from llm.corpus.text.repetition import measure_n_grams, repeated, table_size
from llm.corpus.text.splitting import add_chunk

# Points in a line that FineWeb calls short; C4's fewest words of a line and most points of a word.
SHORT_LINE, LINE_WORDS, WORD_CHARACTERS = 30, 3, 1000
LETTER_SHIFT, UPPER_SHIFT, DIGIT_SHIFT, PUNCTUATION_SHIFT = (
    bit.bit_length() - 1 for bit in (LETTER, UPPER, DIGIT, PUNCTUATION)
)

# What a row of the result holds, in order. Those of C4 come twice: `_any_end` does not ask a line
# to end in punctuation.
FIGURES = (
    *("bytes", "characters", "words", "tokens", "mean_word_length", "hash_per_word"),
    *("ellipsis_per_word", "bullet_lines", "ellipsis_lines", "letter_words", "stop_words"),
    *("duplicate_lines", "duplicate_line_characters"),
    *("duplicate_paragraphs", "duplicate_paragraph_characters"),
    *("distinct_2_grams", "top_2_gram", "top_3_gram", "top_4_gram"),
    *(f"duplicate_{n}_grams" for n in range(5, 11)),
    *("terminal_lines", "short_lines", "newlines_per_word"),
    *("c4_sentences", "c4_lorem_ipsum", "c4_curly_brackets"),
    *("c4_sentences_any_end", "c4_lorem_ipsum_any_end", "c4_curly_brackets_any_end"),
    *("lines", "paragraphs", "sentences", "mean_line_length"),
    *("letters", "digits", "capitals", "punctuation", "longest_word"),
)
WIDTH = len(FIGURES)


@inner
def unspaced_words(kinds, count):
    """In kinds[:count], letters of scripts without spaces, and the longest run of other characters."""
    letters, run, longest = 0, 0, 0
    for at in range(count):
        if kinds[at] & UNSPACED:
            letters += 1
            run = 0
        else:
            run += 1
            longest = max(longest, run)
    return letters, longest


# Long: one pass over the bytes, whose sixty figures stay in registers. numba passes values by copy and
# counts arrays in and out at each call, so parts of the pass would be given, and give, all of them.
@compiled
def measure_texts(data, offsets, classes, salts, stops, bits):
    """Every figure of `FIGURES` for each text: (D, len(FIGURES)) float64.

    salts (D,): which language's stop words count; stops, bits: the hash table of those, and what
    bit each one sets.
    """
    texts = len(offsets) - 1
    out = np.zeros((texts, WIDTH))
    largest = 0
    for text in range(texts):
        largest = max(largest, offsets[text + 1] - offsets[text])
    points, kinds = np.empty(largest + 1, np.int64), np.empty(largest + 1, np.int64)
    cuts = np.empty(largest * 2 + 3, np.int64)
    values, lengths = np.empty(largest + 1, np.uint64), np.empty(largest + 1, np.int32)
    every, some = np.empty(largest + 1, np.int32), np.empty(largest + 1, np.int32)
    line_hashes = np.empty(largest // 2 + 2, np.uint64)
    line_sizes = np.empty(largest // 2 + 2, np.int32)
    block_hashes = np.empty(largest // 3 + 2, np.uint64)
    block_sizes = np.empty(largest // 3 + 2, np.int32)
    before, starts, places = np.empty(1, np.int32), np.empty(1, np.int32), np.empty(1, np.int32)
    table, grams = np.empty(1, np.uint64), np.empty(1, np.uint64)
    clean = np.zeros((2, 3), np.int64)
    stop_mask = np.uint64(len(stops) - 1)
    for text in range(texts):
        begin, end = offsets[text], offsets[text + 1]
        salt = salts[text]
        clean[:] = 0
        done, newlines, signs, ellipses, dots, dot_at = 0, 0, 0, 0, 0, -2
        letters, digits, capitals, marks = 0, 0, 0, 0
        tokens, words, word_points, lettered, longest, stopped = 0, 0, 0, 0, 0, np.int64(0)
        lines, blocks, bullets, trailing, terminal, short, sentences = 0, 0, 0, 0, 0, 0, 0
        blank, block_first, line_first, line_last = True, 0, 0, 0
        block = SEED
        line_begin, line_start, first_byte, last_byte, line_token = begin, 0, begin, begin, 0
        line_words, line_apart, line_longest, phrases = 0, 0, 0, 0
        first_kind, last_point, last_kind = 0, 0, 0
        point, size, kind = 0, 1, 0
        at = begin
        while at <= end:
            white, newline, size = True, True, 1
            if at < end:
                point = np.int64(data[at])
                if point >= 0x80:
                    point, size = point_at(data, at)
                kind = np.int64(classes[point])
                white, newline = kind & SPACE != 0, point == 10
            if not white:
                count, value, head = 0, SEED, SEED
                present, common, head_present, head_common = 0, -1, 0, -1
                if not line_words:
                    line_first, first_byte, first_kind = done, at, kind
                while True:
                    points[count], kinds[count] = point, kind
                    head, head_present, head_common = value, present, common
                    value = folded_in(value, point)
                    present |= kind
                    common &= kind
                    letters += (kind >> LETTER_SHIFT) & 1
                    capitals += (kind >> UPPER_SHIFT) & 1
                    if kind & TRIGGER:
                        if point == 46:
                            dots = dots + 1 if dot_at == at - 1 else 1
                            dot_at = at
                            if dots == 3:
                                ellipses += 1
                                dots = 0
                        elif point == 35:
                            signs += 1
                        elif point == 0x2026:
                            ellipses += 1
                        else:
                            phrases |= phrases_at(data, at, point, line_begin, end)
                    count += 1
                    at += size
                    if at >= end:
                        break
                    point, size = np.int64(data[at]), 1
                    if point >= 0x80:
                        point, size = point_at(data, at)
                    kind = np.int64(classes[point])
                    if kind & SPACE:
                        break
                done += count
                line_words += 1
                unbroken = count
                if present & UNSPACED:
                    apart, unbroken = unspaced_words(kinds, count)
                    line_apart += apart - 1
                line_longest = max(line_longest, unbroken)
                line_last, last_byte = done, at
                last_point, last_kind = points[count - 1], kinds[count - 1]
                if present & (DIGIT | PUNCTUATION):
                    for place in range(count):
                        digits += (kinds[place] >> DIGIT_SHIFT) & 1
                        marks += (kinds[place] >> PUNCTUATION_SHIFT) & 1
                if common & WORD and not present & (AFFIX | UNSPACED):
                    values[tokens], lengths[tokens] = value, count
                    every[tokens], some[tokens] = common, present
                    tokens += 1
                elif (
                    count > 1
                    and head_common & WORD
                    and not head_present & (AFFIX | UNSPACED)
                    and (
                        last_kind & AFFIX
                        or (last_point == 46 and count > 2 and kinds[count - 2] & (LOWER | DIGIT))
                    )
                ):
                    values[tokens], lengths[tokens] = head, count - 1
                    every[tokens], some[tokens] = head_common, head_present
                    values[tokens + 1], lengths[tokens + 1] = folded_in(SEED, last_point), 1
                    every[tokens + 1], some[tokens + 1] = last_kind, last_kind
                    tokens += 2
                else:
                    tokens = add_chunk(
                        points, kinds, count, tokens, values, lengths, every, some, cuts
                    )
                continue
            if newline:
                if line_words:
                    found, ended, value = 1, False, SEED
                    for token in range(line_token, tokens):
                        key = spread(values[token])
                        values[token] = key
                        value = folded_in(value, key)
                        common, length = every[token], lengths[token]
                        if some[token] & LETTER:
                            lettered += 1
                            key ^= salt
                            place = key & stop_mask
                            while stops[place]:
                                if stops[place] == key:
                                    stopped |= bits[place]
                                    break
                                place = (place + np.uint64(1)) & stop_mask
                        if not common & SYMBOL:
                            words += 1
                            word_points += length
                            longest = max(longest, length)
                        if length == 1 and common & STOP:
                            ended = True
                        elif ended and not common & PUNCTUATION:
                            ended = False
                            found += 1
                    line_hashes[lines], line_sizes[lines] = value, line_last - line_first
                    lines += 1
                    bullets += first_kind & BULLET != 0
                    terminal += last_kind & TERMINAL != 0
                    short += line_last - line_start <= SHORT_LINE
                    trailing += last_point == 0x2026 or (
                        last_byte - first_byte >= 3
                        and data[last_byte - 1] == 46
                        and data[last_byte - 2] == 46
                        and data[last_byte - 3] == 46
                    )
                    if blank:
                        if blocks:
                            block_hashes[blocks - 1] = block
                        blocks += 1
                        block, block_first = SEED, line_first
                    block = folded_in(block, value)
                    block_sizes[blocks - 1] = line_last - block_first
                    sentences += found
                    if line_words + line_apart >= LINE_WORDS and line_longest <= WORD_CHARACTERS:
                        for rule in range(2):
                            if rule == 0 and not closes(data, first_byte, last_byte, classes):
                                continue
                            clean[rule, 1] += phrases & LOREM
                            if not phrases & SCRIPT:
                                clean[rule, 2] += phrases & CURLY != 0
                                clean[rule, 0] += 0 if phrases & POLICY else found
                blank = line_words == 0
                line_words, line_apart, line_longest, phrases = 0, 0, 0, 0
                line_token = tokens
                line_begin, line_start = at + 1, done + 1
                newlines += at < end
            at += size
            done += 1
        done -= 1
        if blocks:
            block_hashes[blocks - 1] = block
        size = table_size(max(tokens, lines))
        if size > len(table):
            table, grams = np.empty(size, np.uint64), np.empty(size, np.uint64)
            starts, places = np.empty(size, np.int32), np.empty(size, np.int32)
            before = np.empty(size + 1, np.int32)
        row = out[text]
        row[0], row[1], row[2], row[3] = end - begin, done, words, tokens
        row[4] = word_points / max(1, words)
        row[5] = signs / max(1, tokens)
        row[6] = ellipses / max(1, tokens)
        row[7] = bullets / max(1, lines)
        row[8] = trailing / max(1, lines)
        row[9] = lettered / max(1, tokens)
        while stopped:
            stopped &= stopped - 1
            row[10] += 1
        number, characters = repeated(line_hashes, line_sizes, lines, table)
        row[11], row[12] = number / max(1, lines), characters / max(1, done)
        number, characters = repeated(block_hashes, block_sizes, blocks, table)
        row[13], row[14] = number / max(1, blocks), characters / max(1, done)
        measure_n_grams(values, lengths, tokens, before, starts, grams, places, table, row[15:25])
        row[15] /= max(1, tokens - 1)
        for column in range(16, 25):
            row[column] /= max(1, done)
        row[25] = terminal / max(1, lines)
        row[26] = short / max(1, lines)
        row[27] = newlines / max(1, tokens)
        for rule in range(2):
            for column in range(3):
                row[28 + 3 * rule + column] = clean[rule, column]
        row[34], row[35], row[36] = lines, blocks, sentences
        total = 0
        for line in range(lines):
            total += line_sizes[line]
        row[37] = total / max(1, lines)
        row[38] = letters / max(1, done)
        row[39] = digits / max(1, done)
        row[40] = capitals / max(1, letters)
        row[41] = marks / max(1, done)
        row[42] = longest
    return out

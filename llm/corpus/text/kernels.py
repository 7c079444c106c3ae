"""The words of many texts as hashes, compiled: called through `words.word_hashes`."""

# mypy: ignore-errors
# (types are numba's here)

import numpy as np

from llm.compiled import compiled
from llm.corpus.text.characters import APOSTROPHE, LETTER, MARK, UNSPACED, WORD
from llm.corpus.text.points import SEED, breaks, folded_in, point_at, spread


@compiled
def hash_words(data, offsets, classes, folded):
    """Hashes of all words and where each text's begin: see `words.word_hashes`."""
    texts = len(offsets) - 1
    starts = np.zeros(texts + 1, np.int64)
    hashes = np.empty((offsets[-1] - offsets[0]) // 2 + texts + 1, np.uint64)
    found = 0
    for text in range(texts):
        at, end = offsets[text], offsets[text + 1]
        inside = False
        before = 0
        value = np.uint64(0)
        while at < end:
            byte = data[at]
            if byte < 0x80:
                size = 1
                kind = np.int64(classes[byte])
                fold = folded[byte]
            else:
                point, size = point_at(data, at)
                kind = np.int64(classes[point])
                fold = folded[point]
            if kind & WORD:
                if inside and (kind | before) & UNSPACED and breaks(before, kind):
                    hashes[found] = spread(value)
                    found += 1
                    inside = False
            elif inside:
                after = 0
                joins = kind & APOSTROPHE and before & LETTER and not before & UNSPACED
                if joins and at + size < end:
                    after = np.int64(classes[point_at(data, at + size)[0]])
                if after & LETTER and not after & UNSPACED:
                    kind = np.int64(WORD)
                else:
                    hashes[found] = spread(value)
                    found += 1
                    inside = False
            if kind & WORD:
                if not inside:
                    inside = True
                    value = SEED
                value = folded_in(value, fold)
            if not kind & MARK:
                before = kind
            at += size
        if inside:
            hashes[found] = spread(value)
            found += 1
        starts[text + 1] = found
    return hashes[:found].copy(), starts

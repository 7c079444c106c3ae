"""Our trainer learns what Hugging Face's learns, byte for byte, and the reference's merges."""

import json
import random
from collections import Counter

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers

from llm.tokens.bpe import train_bpe
from llm.tokens.patterns import PATTERNS, cut_into_bytes
from llm.tokens.pieces import count_pieces
from llm.tokens.special import SPECIAL_TOKENS


def trained_by_tokenizers(texts, vocabulary, pattern, min_frequency=2):
    tokenizer = Tokenizer(models.BPE())
    cut_into_bytes(tokenizer, PATTERNS[pattern])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=min_frequency,
        special_tokens=[AddedToken(token, normalized=False) for token in SPECIAL_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def test_the_file_is_that_of_tokenizers_trainer():
    """On texts of few letters, where ties and tokens made in two ways are common."""
    rng = random.Random(1)
    for _ in range(40):
        letters = rng.choice(["ab", "abc", "aab b", "abé日 \n1"])
        texts = [
            "".join(rng.choice(letters) for _ in range(rng.randrange(300)))
            for _ in range(rng.randrange(5))
        ]
        least, size = rng.choice([1, 2, 3]), rng.randrange(260, 420)
        ours = train_bpe(texts, size, "gpt2", least)
        theirs = trained_by_tokenizers(texts, size, "gpt2", least)
        assert ours.to_str(pretty=True) == theirs.to_str(pretty=True)


@pytest.mark.real_data
def test_the_file_is_that_of_tokenizers_trainer_on_real_text(shared_data):
    lines = (shared_data / "lm/wikitext2raw/wiki.valid.raw").read_text().split("\n")
    ours = train_bpe([lines], 6000, "gpt4", workers=3)
    assert ours.to_str() == trained_by_tokenizers([lines], 6000, "gpt4").to_str()


@pytest.mark.real_data
def test_all_merges_are_the_references_with_its_rule_for_ties(shared_data):
    folder = shared_data / "tokenizer"
    text = (folder / "subword_nmt" / "corpus.en").read_text()
    lines = (folder / "cs336" / "train-bpe-reference-merges.txt").read_text().split("\n")
    reference = [line.split(" ") for line in lines if line]
    special = ["<|endoftext|>"]
    ours = train_bpe([text], 500, "gpt2", special_tokens=special, ties="greatest")
    assert json.loads(ours.to_str())["model"]["merges"] == reference
    assert len(reference) == 243


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4"])
def test_text_is_cut_as_the_regular_expressions_cut_it(pattern):
    rng = random.Random(0)
    letters = [*" \t\n\r'stdmlrve19aA.,!ſK\x00ßSTLV\x85", "\u0301", "\u00a0", "\u3000", "\u2028"]
    letters += [*"日²Ⅷ🙂"]

    def some():
        if rng.random() < 0.7:
            return "".join(rng.choice(letters) for _ in range(rng.randrange(60)))
        planes = (range(0xD800), range(0xE000, 0x110000), range(128))
        return "".join(chr(rng.choice(rng.choice(planes))) for _ in range(40))

    texts = [some() for _ in range(3000)]
    found = count_pieces([texts[:10], texts[10:]], pattern)
    bounds = zip(found.starts, found.starts[1:], found.counts.tolist(), strict=False)
    ours = {bytes(found.data[begin:end]).decode(): count for begin, end, count in bounds}
    splitter = pre_tokenizers.Split(Regex(PATTERNS[pattern]), "isolated")
    assert ours == Counter(piece for text in texts for piece, _ in splitter.pre_tokenize_str(text))

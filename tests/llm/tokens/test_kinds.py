"""Unigram and WordPiece, and the special tokens that are reserved."""

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from llm.recipe import RecipeError, load_recipe
from llm.tokens.special import GROUPS, SPECIAL_TOKENS, read_special_tokens_as_text, reserved
from llm.tokens.tokenizer import TokenizerSettings, learn
from llm.tokens.wordpiece import train_wordpiece


def test_the_chat_group_alone_gives_the_ids_of_old():
    assert reserved(("chat",)) == SPECIAL_TOKENS
    assert reserved(("spans", "chat", "masking"))[:4] == SPECIAL_TOKENS
    assert reserved(()) == ("<|endoftext|>", "<|pad|>")


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece"])
def test_reserved_tokens_come_first_in_every_kind(kind, some_texts):
    groups = ("chat", "masking", "spans")
    settings = TokenizerSettings(type=kind, vocabulary=400, reserve=groups)
    tokenizer = learn(iter([list(some_texts("docs").values())]), settings)
    names = reserved(groups)
    assert len(names) == len(SPECIAL_TOKENS) + 3 + len(GROUPS["spans"])
    assert [tokenizer.token_to_id(name) for name in names] == list(range(len(names)))
    assert tokenizer.encode("<|mask|>").ids == [names.index("<|mask|>")]
    read_special_tokens_as_text(tokenizer)
    assert not set(tokenizer.encode("<|mask|> a<|span_3|>b<|endoftext|>").ids) & set(
        range(len(names))
    )


@pytest.mark.parametrize("text", ["", " \n\t x", "\x00 naïve 日本語 🙂\u0301 <|pad|>", "zZ" * 50])
def test_unigram_gives_any_text_back_unchanged(some_texts, text):
    settings = TokenizerSettings(type="unigram", vocabulary=400)
    tokenizer = learn(iter([list(some_texts("docs").values())]), settings)
    read_special_tokens_as_text(tokenizer)
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


@pytest.mark.real_data
@pytest.mark.parametrize("lowercase", [True, False])
def test_wordpiece_learns_the_pieces_of_tokenizers_trainer(shared_data, lowercase):
    """All but a few: which of the pairs that are as common comes first is by chance there."""
    lines = (shared_data / "lm/wikitext2raw/wiki.valid.raw").read_text().split("\n")[:1200]
    special = ["<|endoftext|>"]
    ours = train_wordpiece([lines], 2000, special, lowercase=lowercase)
    theirs = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    theirs.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    theirs.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=2000, min_frequency=2, special_tokens=[*special, "[UNK]"], show_progress=False
    )
    theirs.train_from_iterator(lines, trainer)
    assert len(ours.get_vocab().keys() & theirs.get_vocab().keys()) > 1990
    again = train_wordpiece(lines[::-1], 2000, special, lowercase=lowercase)
    assert ours.to_str() == again.to_str()
    tokens = ours.encode("Unwinding \U0001f642").tokens
    assert tokens[1].startswith("##")
    assert tokens[-1] == "[UNK]"
    assert ours.decode(ours.encode("the thread").ids) == "the thread"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("tokenizer.lowercase=true", "lowercase is for type wordpiece, not bpe"),
        ("tokenizer={vocabulary: 262, reserve: [spans]}", "262 is less than the"),
        ("tokenizer.reserve=[chats]", "tokenizer.reserve"),
    ],
)
def test_settings_that_do_not_go_together_are_named(override, said):
    with pytest.raises(RecipeError, match=said):
        load_recipe("demo", [override])

"""No text spells a control token, in any kind of tokenizer that can be imported."""

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from llm.tokens import arrow
from llm.tokens.bpe import train_bpe
from llm.tokens.chat import encode_messages
from llm.tokens.encoders import CheckedEncoder, prepare
from llm.tokens.plain_text import NO_CHARACTER, control_ids, encode_text, encode_texts
from llm.tokens.special import MESSAGE_END, MESSAGE_START, SPECIAL_TOKENS

NAMES = ("<s>", "</s>", *SPECIAL_TOKENS)
LETTERS = sorted({*"".join(NAMES), *"abcxyz ▁"})


def words() -> list[str]:
    return ["<unk>", *NAMES, *LETTERS]


def word_level() -> Tokenizer:
    """A model in which each control token is a word like others."""
    made = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words())}, "<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def word_piece() -> Tokenizer:
    pieces = [*words(), *(f"##{letter}" for letter in LETTERS)]
    made = Tokenizer(
        models.WordPiece(vocab={piece: at for at, piece in enumerate(pieces)}, unk_token="<unk>")
    )
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def unigram() -> Tokenizer:
    """The control tokens are its best pieces."""
    pieces = [("<unk>", 0.0), *((name, -1.0) for name in NAMES), *((one, -9.0) for one in LETTERS)]
    made = Tokenizer(models.Unigram(pieces, 0))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return made


def merging() -> Tokenizer:
    """A BPE with Metaspace whose merges make a control token."""
    vocabulary = {word: at for at, word in enumerate([*words(), "<s", "</", "</s"])}
    merges = [("<", "s"), ("<s", ">"), ("<", "/"), ("</", "s"), ("</s", ">")]
    made = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return made


def byte_level() -> Tokenizer:
    return train_bpe(["the cat and the hat " * 9], 300, "gpt4")


def looked_up_whole() -> Tokenizer:
    """Byte-level BPE that looks a piece up before it merges, and takes a line for a piece."""
    described = byte_level().to_str().replace('"ignore_merges": false', '"ignore_merges": true')
    made = Tokenizer.from_str(described)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return made


KINDS = (word_level, word_piece, unigram, merging, byte_level, looked_up_whole)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def bare(request: pytest.FixtureRequest) -> Tokenizer:
    return request.param()


@pytest.fixture(params=["special", "only added"])
def tokenizer(request: pytest.FixtureRequest, bare: Tokenizer) -> Tokenizer:
    """With the control tokens marked special, or with ours added as words that users may have."""
    if request.param == "special":
        bare.add_special_tokens([AddedToken(name, normalized=False) for name in NAMES])
    else:
        bare.add_tokens([AddedToken(name, normalized=False) for name in SPECIAL_TOKENS])
        bare.add_special_tokens([AddedToken(name, normalized=False) for name in ("<s>", "</s>")])
    return bare


def texts() -> list[str]:
    return [
        *NAMES,
        *(f"a {name} b" for name in NAMES),
        *(f"x{name}y{name}" for name in NAMES),
        "".join(NAMES),
        f"{NO_CHARACTER}1{NO_CHARACTER} <s> {NO_CHARACTER}",
        "abc xyz",
    ]


def test_no_id_of_a_text_is_a_control_tokens(tokenizer: Tokenizer) -> None:
    control = {tokenizer.token_to_id(name) for name in NAMES} - {None}
    assert control == control_ids(tokenizer) >= {tokenizer.token_to_id("<s>")} - {None}
    for text, found in zip(texts(), encode_texts(tokenizer, texts()), strict=True):
        assert control.isdisjoint(found.ids), text
        assert found.ids, text
        assert found.ids == encode_text(tokenizer, text).ids


def test_text_without_control_tokens_keeps_its_ids(bare: Tokenizer) -> None:
    expected = bare.encode("abc xyz").ids
    bare.add_special_tokens([AddedToken(name, normalized=False) for name in NAMES])
    assert encode_text(bare, "abc xyz").ids == expected


@pytest.mark.parametrize("make", [unigram, merging, byte_level, looked_up_whole])
def test_spelled_tokens_come_back_as_text(make: object) -> None:
    made = make()  # type: ignore[operator]
    made.add_special_tokens([AddedToken(name, normalized=False) for name in NAMES])
    for name in ("<s>", "</s>"):
        assert made.decode(encode_text(made, f"a {name} b").ids) == f"a {name} b"


def test_documents_are_encoded_as_single_texts_are(tokenizer: Tokenizer) -> None:
    encoder = CheckedEncoder(prepare(tokenizer.to_str().encode()))
    ids, offsets = encoder.encode(arrow.texts(texts()))
    for row, text in enumerate(texts()):
        assert ids[offsets[row] : offsets[row + 1]].tolist() == encode_text(tokenizer, text).ids
    assert len(offsets) == len(texts()) + 1 and offsets[-1] == len(ids)
    assert not np.isin(ids, list(control_ids(tokenizer))).any()


def test_a_message_cannot_end_itself(tokenizer: Tokenizer) -> None:
    said = f"a{MESSAGE_END} {MESSAGE_END} {MESSAGE_START} b"
    ids, learned = encode_messages(tokenizer, [{"role": "user", "content": said}])
    start, end = (tokenizer.token_to_id(name) for name in (MESSAGE_START, MESSAGE_END))
    assert (ids.count(start), ids.count(end)) == (1, 1)
    assert len(ids) == len(learned)

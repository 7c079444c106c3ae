"""Tokenizers brought along give the ids that their makers' tools give."""

import base64
import hashlib
import json
import random
import re
from dataclasses import replace

import pytest
import tiktoken
from tiktoken_ext import openai_public
from tokenizers import Tokenizer

from llm.recipe import load_recipe
from llm.step import BadInput, Reporter
from llm.tokens.formats.sentencepiece import UNIGRAM, Kind, Piece, Rules, tokenizer_of
from llm.tokens.formats.tiktoken import PUBLISHED
from llm.tokens.imports import import_tokenizer, read_tokenizer, tokenizer_files
from llm.tokens.plain_text import encode_text
from llm.tokens.special import END_OF_TEXT, SPECIAL_TOKENS, read_special_tokens_as_text
from llm.tokens.tokenizer import TokenizerSettings, TrainTokenizer


def read(path, pattern=None):
    return read_tokenizer(tokenizer_files(path), pattern)


@pytest.fixture
def gpt2(shared_data):
    return read(shared_data / "tokenizer" / "gpt2")


@pytest.mark.real_data
def test_gpt2_files_give_the_published_numbers_of_tokens(shared_data, gpt2):
    text = (shared_data / "lm/tinyshakespeare/input.txt").read_text()
    cut = int(0.9 * len(text))
    found = gpt2.encode_batch_fast([text[:cut], text[cut:]])
    assert [len(one.ids) for one in found] == [301_966, 36_059]
    # The lines as the `datasets` library gives them: with their ends, but for those of blank lines.
    lines = (shared_data / "lm/wikitext2raw/wiki.test.raw").read_text().split("\n")[:-1]
    joined = "\n\n".join(line + "\n" if line.strip() else "" for line in lines)
    read_special_tokens_as_text(gpt2)
    assert len(gpt2.encode(joined).ids) == 287_644


@pytest.mark.real_data
@pytest.mark.parametrize(("encoding", "cases"), [("r50k_base", 67), ("cl100k_base", 75)])
def test_ranks_give_the_ids_of_tiktokens_test_plan(shared_data, gpt2, encoding, cases):
    folder = shared_data / "tokenizer" / "tiktoken"
    tokenizer = read(folder / f"{encoding}.tiktoken")
    plan = (folder / "TestPlans.txt").read_bytes().decode()
    found = re.findall(
        rf"EncodingName: {encoding}\r?\nSample: (.*?)\r?\nEncoded: \[(.*?)\]", plan, re.DOTALL
    )
    assert len(found) == cases
    for text, ids in found:
        assert tokenizer.encode(text).ids == [int(number) for number in ids.split(",")]
    assert sorted(tokenizer.get_vocab().values()) == list(range(tokenizer.get_vocab_size()))
    if encoding == "r50k_base":  # the same vocabulary as GPT-2's files: its merges come back
        assert tokenizer.get_vocab() == gpt2.get_vocab()
        assert model_of(tokenizer, "merges") == model_of(gpt2, "merges")


def model_of(tokenizer, name):
    return json.loads(tokenizer.to_str())["model"][name]


@pytest.mark.real_data
def test_ranks_with_the_pattern_of_another_encoding_are_refused(shared_data):
    path = shared_data / "tokenizer" / "tiktoken" / "r50k_base.tiktoken"
    with pytest.raises(BadInput, match=r"r50k_base, which belongs to tokenizer\.pattern gpt2, not"):
        read(path, "gpt4")


BYTES = {bytes([byte]): byte for byte in range(256)}


def ranks_file(path, ranks):
    lines = (base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())
    path.write_bytes(b"".join(lines))
    return path


def test_ranks_that_nobody_published_need_a_pattern(tmp_path):
    path = ranks_file(tmp_path / "own.tiktoken", BYTES)
    with pytest.raises(BadInput, match=r"256 ranks .* set tokenizer\.pattern to one of gpt2, gpt4"):
        read(path)
    assert read(path, "gpt2").encode("aé").ids == [97, 195, 169]


@pytest.mark.parametrize(
    ("pattern", "published"),
    [
        ("gpt2", openai_public.r50k_base),
        ("gpt2", openai_public.p50k_base),
        ("gpt4", openai_public.cl100k_base),
        ("o200k", openai_public.o200k_base),
    ],
)
def test_each_pattern_gives_the_ids_of_tiktoken(tmp_path, monkeypatch, pattern, published):
    """The pattern and special tokens of tiktoken's own module, on ranks where a cut changes the ids."""
    letters = "aB'sS ſ\n\r\t /12३éÉǅʰ̈.-日À…🙂<|>_"
    # tiktoken cuts white space at the end of a text otherwise than within; no published rank shows it,
    # since none holds a blank behind a line end.
    pairs = [
        (one + two).encode()
        for one in letters
        for two in letters
        if not (one in "\r\n" and two in " \t")
    ]
    ranks = BYTES | {
        token: 256 + rank
        for rank, token in enumerate(dict.fromkeys(pair for pair in pairs if len(pair) == 2))
    }
    digests = []

    def known(source, expected_hash):
        digests.append(expected_hash)
        return ranks

    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", known)
    made = published()
    name, own, special = PUBLISHED[digests[0]]
    assert (name, own, special) == (made["name"], pattern, made["special_tokens"])
    theirs = tiktoken.Encoding(
        "small", pat_str=made["pat_str"], mergeable_ranks=ranks, special_tokens={}
    )
    ours = read(ranks_file(tmp_path / "small.tiktoken", ranks), pattern)
    chance = random.Random(5)
    for _ in range(2000):
        text = "".join(chance.choices(letters, k=chance.randint(1, 40)))
        assert ours.encode(text).ids == theirs.encode_ordinary(text), repr(text)


@pytest.mark.real_data
def test_a_sentencepiece_model_gives_the_ids_of_sentencepiece(shared_data):
    """The figures are those of the sentencepiece package (0.2.3)."""
    folder = shared_data / "tokenizer" / "spm"
    tokenizer = read(folder / "test_model.model")
    ids = tokenizer.encode((folder / "botchan.txt").read_text()).ids
    assert len(ids) == 100_171
    assert tokenizer.encode("  a  b ").ids == [11, 80]
    assert tokenizer.encode("日本語 ｆｕｌｌ ①").ids == [4, 0, 495, 4, 357]
    odd = "naïve\tcafé\n\nx🙂"
    assert tokenizer.encode(odd).ids == [4, 24, 19, 0, 125, 0, 28, 19, 57, 0, 297, 0]
    digest = hashlib.sha256(" ".join(map(str, ids)).encode()).hexdigest()
    assert digest == SENTENCEPIECE_BOTCHAN


SENTENCEPIECE_BOTCHAN = "eb350f171c17bb1486d5377fbce8ed674c119d2f5305a1fa2683d2c1282c83ef"


@pytest.mark.real_data
def test_the_tokenizer_of_llama2c_gives_the_reference_number_of_tokens(shared_data):
    tokenizer = read(shared_data / "model/stories260K/tok512.bin")
    assert tokenizer.get_vocab_size() == 512
    file = shared_data / "lm/tinystories_sample/tinystories_sample.txt"
    stories = [story.strip() for story in file.read_text("utf8").split("<|endoftext|>")]
    assert sum(len(tokenizer.encode(story).ids) for story in stories if story) == 1804
    greedy = (shared_data / "model/stories260K/expected_greedy_200.txt").read_text().strip()
    ids = tokenizer.encode(greedy).ids
    assert tokenizer.decode(ids) == greedy
    assert tokenizer.decode(tokenizer.encode("naïve 日本語 🙂\n").ids) == "naïve 日本語 🙂\n"


def test_a_control_token_spelled_in_text_is_read_as_text():
    letters = [Piece(letter, -5.0) for letter in "▁<s>/x"]
    control = [Piece("<s>", 0.0, Kind.CONTROL), Piece("</s>", 0.0, Kind.CONTROL)]
    pieces = [Piece("<unk>", 0.0, Kind.UNKNOWN), *control, *letters]
    tokenizer = tokenizer_of(pieces, UNIGRAM, Rules())
    assert tokenizer.encode("<s>").ids == [1]
    assert not set(encode_text(tokenizer, "x</s> <s>x").ids) & {0, 1, 2}


@pytest.mark.real_data
def test_what_a_tokenizer_lacks_is_added_after_its_own_ids(shared_data, corpus, fraction, context):
    class Heard(Reporter):
        said = ""

        def info(self, message):
            self.said += message

    heard = Heard()
    files = tokenizer_files(shared_data / "tokenizer" / "gpt2")
    values = TrainTokenizer(
        settings=TokenizerSettings(imported="gpt2"), validation_fraction=fraction
    )
    inputs = {"documents": corpus, "imported": files}
    result = import_tokenizer(values, inputs, replace(context, report=heard))
    tokenizer = Tokenizer.from_file(str(context.out / "tokenizer.json"))
    assert tokenizer.token_to_id(END_OF_TEXT) == 50_256
    others = [name for name in SPECIAL_TOKENS if name != END_OF_TEXT]
    assert [tokenizer.token_to_id(name) for name in others] == [50_257, 50_258, 50_259]
    assert result.counts["added"] == 3
    assert all(name in heard.said for name in others)
    assert tokenizer.encode("hello world").ids == [31_373, 995]


def test_a_tokenizer_json_comes_out_as_it_went_in(tokenizer_folder, corpus, fraction, context):
    values = TrainTokenizer(settings=TokenizerSettings(), validation_fraction=fraction)
    files = tokenizer_files(tokenizer_folder)
    import_tokenizer(values, {"documents": corpus, "imported": files}, context)
    for name in ("tokenizer.json", "stats.json"):
        assert (context.out / name).read_bytes() == (tokenizer_folder / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"{}"),
        ("x.tiktoken", b"YQ== 0\n"),
        ("x.tiktoken", b"what is this\n"),
        ("x.model", b"no protocol buffer"),
        ("x.model", b""),
        ("x.bin", b"\0" * 40),
        ("x.txt", b""),
    ],
)
def test_a_file_that_is_no_tokenizer_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=re.escape(name)):
        read(tmp_path / name)


def test_a_folder_with_none_or_several_is_refused(tmp_path):
    with pytest.raises(BadInput, match="none"):
        tokenizer_files(tmp_path)
    for name in ("a.model", "b.model"):
        (tmp_path / name).touch()
    with pytest.raises(BadInput, match="several"):
        tokenizer_files(tmp_path)


def test_the_recipe_writes_it_import():
    recipe = load_recipe("demo", ["tokenizer.import=some/folder"])
    assert recipe.tokenizer.imported == "some/folder"

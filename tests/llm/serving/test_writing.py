"""A text is begun and ended with the model's own tokens, as transformers does with the same folder."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from llm.models import folder
from llm.models.config import ModelSettings
from llm.models.decoder import Decoder
from llm.serving.writing import Writer
from llm.tokens.formats.sentencepiece import BPE, Kind, Piece, Rules, tokenizer_of
from tests.llm.models.random_weights import randomise

FIRST = [("<unk>", Kind.UNKNOWN), ("<s>", Kind.CONTROL), ("</s>", Kind.CONTROL)]
WORDS = [f"▁{letter}" for letter in "abcdefghijklmnop"]


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A Llama with a tokenizer of SentencePiece's kind: every token is a blank and a letter."""
    pieces = [Piece(name, 0.0, kind) for name, kind in FIRST]
    pieces += [Piece(text, -1.0) for text in (*"abcdefghijklmnop", "▁", *WORDS)]
    tokenizer_of(pieces, BPE, Rules()).save(str(tmp_path / "tokenizer.json"))
    settings = ModelSettings(
        preset="llama", layers=1, d_model=32, heads=2, context_length=64, tie_embeddings=False
    )
    model = Decoder(settings.resolve(len(pieces)))
    randomise(model, scale=0.5)
    with torch.no_grad():  # the letters after a blank are all that it ever writes
        assert model.head is not None
        model.head[: -len(WORDS)] = 0
        model.head[-len(WORDS) :] *= 5
    folder.save(model, tmp_path / "model", tmp_path / "tokenizer.json")
    return tmp_path / "model"


def theirs(path: Path, ids: list[int]) -> list[int]:
    """What transformers writes after `ids`, by the folder's own generation_config.json."""
    model = AutoModelForCausalLM.from_pretrained(path)
    made = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=30)
    return made[0, len(ids) :].tolist()


def test_it_begins_and_stops_as_the_folder_says(model_folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
    prompt = [1, *tokenizer.encode("a b", add_special_tokens=False).ids]
    unstopped = theirs(model_folder, prompt)
    assert len(unstopped) == 30
    stop = next(at for at in range(3, 30) if unstopped[at] not in unstopped[:at])
    path = model_folder / "generation_config.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "eos_token_id": [2, unstopped[stop]]}))
    assert theirs(model_folder, prompt) == unstopped[: stop + 1]
    text = "".join(Writer(model_folder).complete("a b", 30, 0.0, 0))
    assert tokenizer.encode(f"a b{text}", add_special_tokens=False).ids[2:] == unstopped[:stop]
    assert text.startswith(" ")  # the blank that this tokenizer drops where a text begins
    assert not next(Writer(model_folder).complete("", 1, 0.0, 0)).startswith(" ")

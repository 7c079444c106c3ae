"""A model trained elsewhere, brought along by `penstock import`, gives what it gave elsewhere."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from flows.cli import main
from llm.evaluation.scoring import score
from llm.models import folder
from llm.models.decoder import Decoder
from llm.models.generation import generate
from tests.llm.evaluation.models import write_model

BEGIN = 1


@pytest.fixture
def imported(shared_data: Path, tmp_path: Path) -> tuple[Decoder, Tokenizer]:
    """stories260K as the command leaves it."""
    source = shared_data / "model/stories260K"
    files = [str(source / "stories260K.bin"), str(source / "tok512.bin")]
    with pytest.raises(SystemExit) as left:
        main(["import", *files, str(tmp_path / "model")])
    assert not left.value.code
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "model").config.model_type == "llama"
    return folder.load(tmp_path / "model")


@pytest.mark.real_data
def test_the_imported_stories260k_has_the_published_figures(
    imported: tuple[Decoder, Tokenizer], shared_data: Path
) -> None:
    model, tokenizer = imported
    ids = list(generate(model, [BEGIN], max_new_tokens=200, stop_ids=[BEGIN]))
    expected = (shared_data / "model/stories260K/expected_greedy_200.txt").read_bytes()
    assert tokenizer.decode(ids).encode().strip() == expected.strip()
    text = (shared_data / "lm/tinystories_sample/tinystories_sample.txt").read_text("utf8")
    stories = [story.strip() for story in text.split("<|endoftext|>") if story.strip()]
    encoded = [
        np.array([BEGIN, *tokenizer.encode(story, add_special_tokens=False).ids])
        for story in stories
    ]
    nats = sum(float(each.sum()) for each in score(model, encoded, 512, 256))
    assert sum(len(each) - 1 for each in encoded) == 1804
    bits = nats / math.log(2) / sum(len(story.encode()) for story in stories)
    assert bits == pytest.approx(0.88675, abs=1e-4)


@pytest.mark.real_data
@pytest.mark.parametrize("prompt", ["", "Once upon a", "Once"])
def test_generate_writes_what_llama2c_prints(
    prompt: str,
    imported: tuple[Decoder, Tokenizer],
    shared_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It begins with the model's own <s>, which this tokenizer has instead of <|endoftext|>."""
    expected = (shared_data / "model/stories260K/expected_greedy_200.txt").read_text().strip()
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(["generate", prompt, "--model", str(tmp_path / "model"), "--temperature", "0"])
    assert not left.value.code
    written = capsys.readouterr().out.removesuffix("\n")
    assert written.startswith(expected)
    assert (written == expected) is (prompt == "")  # 200 tokens; with a prompt, 200 more than it


def test_generated_text_ends_before_a_stop_string(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path)

    def text(*more: str) -> str:
        asked = ["generate", "the ", "--model", str(tmp_path / "model"), "--tokens", "40", "--json"]
        with pytest.raises(SystemExit) as left:
            main([*asked, *more])
        assert not left.value.code
        return str(json.loads(capsys.readouterr().out)["text"])

    whole = text()
    stop = whole[10:13]
    assert text("--stop", "not in it", "--stop", stop) == whole[: whole.index(stop)] != whole


def test_a_missing_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["import", str(tmp_path / "no.bin"), str(tmp_path), str(tmp_path / "out")])
    assert left.value.code == 2
    assert "no.bin" in capsys.readouterr().err.replace("\n", "")

"""Folders of the trained baselines."""

from pathlib import Path

import pytest
import torch

from llm.models.baselines.config import CNNSettings, LSTMSettings
from llm.models.baselines.folder import CONFIG, WEIGHTS, build, load, save
from llm.step import BadInput


@pytest.mark.parametrize(
    "settings", [LSTMSettings(layers=1, d_model=8), CNNSettings(layers=2, d_model=8)]
)
def test_what_is_written_is_read_again(
    settings: LSTMSettings | CNNSettings, tmp_path: Path
) -> None:
    model = build(settings.resolve(30))
    model.initialise(1)
    for name in "ab":
        save(model, tmp_path / name)
    again = load(tmp_path / "a")
    assert type(again) is type(model) and again.config == model.config and not again.training
    tokens = torch.arange(12)[None]
    assert torch.equal(again(tokens), model.eval()(tokens))
    for name in (WEIGHTS, CONFIG):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("damage", [WEIGHTS, CONFIG])
def test_a_torn_folder_is_named(damage: str, tmp_path: Path) -> None:
    model = build(LSTMSettings(layers=1, d_model=8).resolve(30))
    model.initialise(1)
    save(model, tmp_path)
    whole = (tmp_path / damage).read_bytes()
    (tmp_path / damage).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="run the evaluate stage again"):
        load(tmp_path)

"""Sets of `datasets`, saved to disk or as Parquet: labels by their names, texts as they stand."""

from pathlib import Path

import datasets
import pytest

from llm.examples import files
from llm.examples.settings import LABEL, TEXTS, ExampleSettings
from llm.examples.shards import Shard
from llm.step import Context

COLUMNS = (*TEXTS, LABEL)
ROWS = {"sentence": ["NA", "007", "a\nb", "last"], "label": [1, 0, 2, 1]}
NAMES = ["bad", "good", "so so"]


@pytest.mark.parametrize("how", ["arrow", "parquet"])
def test_class_labels_have_their_names(how: str, context: Context, tmp_path: Path) -> None:
    features = datasets.Features(
        {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=NAMES)}
    )
    made = datasets.Dataset.from_dict(ROWS, features)
    if how == "arrow":
        made.save_to_disk(tmp_path / "set", num_shards=2)
        paths = sorted((tmp_path / "set").glob("*.arrow"))
        assert len(paths) == 2
    else:
        made.to_parquet(tmp_path / "set.parquet")
        paths = [tmp_path / "set.parquet"]
    values = ExampleSettings(data="x", columns=COLUMNS, validation_fraction=0.0)
    files.read(values, {"files": paths}, context)
    found = [one.cells for one in Shard.open(context.out / "train.arrow").examples(COLUMNS)]
    wanted = zip(ROWS["sentence"], ROWS["label"], strict=True)
    assert found == [(text, "", [NAMES[label]]) for text, label in wanted]


def test_several_classes_of_a_row_have_their_names_and_no_class_is_a_bad_row(
    context: Context, tmp_path: Path
) -> None:
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "labels": datasets.Sequence(datasets.ClassLabel(names=NAMES)),
        }
    )
    rows = {"text": ["one", "two", "three"], "labels": [[0, 2], [], [-1]]}
    datasets.Dataset.from_dict(rows, features).save_to_disk(tmp_path / "set")
    paths = sorted((tmp_path / "set").glob("*.arrow"))
    values = ExampleSettings(data="x", columns=COLUMNS, validation_fraction=0.0, bad_rows=0.5)
    result = files.read(values, {"files": paths}, context)
    found = [one.cells[2] for one in Shard.open(context.out / "train.arrow").examples(COLUMNS)]
    assert found == [["bad", "so so"], []]
    assert result.counts["dropped"] == {"bad": 1}

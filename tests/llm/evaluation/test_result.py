"""One shape of result: every figure is a ratio of sums over items, whatever measured it."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from llm.evaluation.result import ITEMS, read, read_items, rows, write
from llm.evaluation.suite import Kind
from llm.step import BadInput, Context

LOSS = Kind("loss", "nats per token", "lower")
RIGHT = Kind("accuracy", "right answers", "higher")
NAMES, GROUPS = ["c", "a", "b", "d"], ["wiki", "docs", "docs", "docs"]
SUMS, WEIGHTS = [8.0, 9.0, 11.0, 10.0], [4.0, 4.0, 4.0, 4.0]


def written(context: Context, *kinds: Kind) -> Path:
    tables = [rows(kind.name, NAMES, GROUPS, SUMS, WEIGHTS) for kind in kinds]
    write(context, "toy", kinds, tables, "as in the test")
    return context.out


def test_the_worked_example_of_the_docstring(context: Context) -> None:
    table = rows("x", ["0a1f", "17c0"], ["docs", "wiki"], [812.4, 640.0], [400.0, 310.0])
    write(context, "toy", [Kind("x", "bits per byte", "lower")], [table], "")
    assert read(context.out).figures["x"].value == (812.4 + 640.0) / (400.0 + 310.0)


def test_a_figure_says_everything_that_one_needs_to_know_of_it(context: Context) -> None:
    folder = written(context, LOSS, RIGHT)
    figure = json.loads((folder / "metrics.json").read_text())["figures"]["loss"]
    assert figure["value"] == 38 / 16
    assert (figure["unit"], figure["better"], figure["items"]) == ("nats per token", "lower", 4)
    # Of items of one weight it is the interval of the mean of their ratios.
    ratios = np.array(SUMS) / 4
    half = 1.959964 * ratios.std(ddof=1) / 2
    assert figure["interval"] == pytest.approx([38 / 16 - half, 38 / 16 + half])
    # Two models on other items each: z of 97.5 % and of 80 %, times the error of a difference.
    error = np.sqrt(2) * ratios.std(ddof=1) / 2
    assert figure["smallest_difference"] == pytest.approx((1.959964 + 0.841621) * error)
    assert {name: part["value"] for name, part in figure["groups"].items()} == {
        "docs": 30 / 12,
        "wiki": 8 / 4,
    }
    assert figure["groups"]["wiki"]["interval"] is None


def test_what_is_read_is_what_was_written(context: Context) -> None:
    result = read(written(context, LOSS, RIGHT))
    assert list(result.figures) == ["accuracy", "loss"] and result.protocol == "as in the test"
    figure = result.figures["accuracy"]
    assert figure.better == "higher" and figure.groups["docs"].spread is not None
    items = read_items(context.out, "loss", "docs")
    assert items.names == ("a", "b", "d")
    assert items.sums.tolist() == [9.0, 11.0, 10.0]


def test_items_are_sorted_so_that_equal_results_are_equal_files(context: Context) -> None:
    written(context, LOSS)
    table = pq.read_table(context.out / "items.parquet")
    assert table.schema == ITEMS and table["item"].to_pylist() == sorted(NAMES)


def test_an_item_that_comes_twice_is_an_error_and_in_two_groups_is_two_items(
    context: Context,
) -> None:
    with pytest.raises(ValueError, match="'a' comes twice in loss, group 'x'"):
        table = rows("loss", ["a", "a"], ["x", "x"], [1.0, 2.0], [1.0, 1.0])
        write(context, "toy", (LOSS,), [table], "")
    table = rows("loss", ["a", "a"], ["x", "y"], [1.0, 2.0], [1.0, 1.0])
    write(context, "toy", (LOSS,), [table], "")
    assert len(set(read_items(context.out, "loss").names)) == 2


def test_what_has_no_items_has_no_figure(context: Context) -> None:
    write(context, "toy", (LOSS,), [rows("loss", [], [], [], [])], "nothing held out")
    assert read(context.out).figures == {}
    with pytest.raises(BadInput, match="no item of the figure 'loss'; it has none at all"):
        read_items(context.out, "loss")


def test_an_unknown_figure_or_group_names_those_there_are(context: Context) -> None:
    folder = written(context, LOSS)
    with pytest.raises(BadInput, match="'accuracy'; it has loss"):
        read_items(folder, "accuracy")
    with pytest.raises(BadInput, match="'news'; there are 'docs', 'wiki'"):
        read_items(folder, "loss", "news")


def test_content_is_the_items_and_how_they_were_measured(tmp_path: Path) -> None:
    contents = []
    for number, (names, protocol) in enumerate(
        [(NAMES, "a"), (NAMES[::-1], "a"), (NAMES, "b"), (["z", *NAMES[1:]], "a")]
    ):
        (out := tmp_path / str(number)).mkdir()
        order = [NAMES.index(name) if name in NAMES else 0 for name in names]
        table = rows(
            "loss",
            names,
            [GROUPS[n] for n in order],
            [SUMS[n] for n in order],
            [WEIGHTS[n] for n in order],
        )
        contents.append(
            write(Context(out=out, work=out), "toy", (LOSS,), [table], protocol).content
        )
    assert contents[0] == contents[1]
    assert len(set(contents)) == 3

"""What counts as the same call, whatever the form in which its values were recorded."""

import json
from typing import Any

import pytest

from llm.fingerprint import plain
from llm.settings import section, setting
from llm.store import Reference
from tasks.engine.sameness import compare, signature
from tasks.engine.step import Call, Step

STEP = Step("train", "llm.training.pretrain.step:pretrain")


@section
class Schedule:
    """Part of the settings."""

    peak: float = setting(default=0.1)
    warmup: int = setting(default=10)


@section
class Settings:
    """What the step is given."""

    layers: int = setting(default=2)
    schedule: Schedule = setting(default=Schedule)
    checkpoint_every: int = setting(default=100, decides=False)
    names: tuple[str, ...] = setting(default=())


@section
class Strict:
    """A required field that is new."""

    inner: Settings = setting()


def call(values: Any, **inputs: list[str]) -> Call:
    named = {
        name: [Reference("extract", item, item) for item in items] for name, items in inputs.items()
    }
    return Call(STEP, values, named)


def manifest(values: Any, **inputs: list[str]) -> dict[str, Any]:
    """As code of another form recorded it."""
    return {
        "values": values,
        "identity": {},
        "contents": {name: list(items) for name, items in inputs.items()},
        "base": "another",
    }


RECORDED = json.loads(json.dumps(plain(Settings())))


def test_the_same_values_are_the_same() -> None:
    assert compare(call(Settings()), manifest(RECORDED)).is_same


def test_a_field_that_is_new_has_its_default() -> None:
    older = {"layers": 2, "names": []}
    assert compare(call(Settings()), manifest(older)).is_same
    found = compare(call(Settings(schedule=Schedule(peak=0.2))), manifest(older))
    assert found.differs == ("schedule.peak: 0.1 → 0.2",)


def test_a_field_that_is_no_part_of_the_key_any_more_may_differ() -> None:
    assert compare(call(Settings()), manifest({**RECORDED, "checkpoint_every": 7})).is_same


def test_a_field_that_is_gone_is_told() -> None:
    found = compare(call(Settings()), manifest({**RECORDED, "threads": {"count": 4}}))
    assert found.is_same
    assert found.told == ("there is no threads.count any more (it was 4)",)


@pytest.mark.parametrize(("value", "same"), [(0.3, True), (0.4, False)])
def test_a_field_that_moved_must_have_its_value(value: float, same: bool) -> None:
    older = {"layers": 2, "peak": 0.3, "names": []}
    found = compare(call(Settings(schedule=Schedule(peak=value))), manifest(older))
    assert found.is_same is same
    if same:
        assert found.told == ("peak is schedule.peak now",)
    else:
        assert found.differs == ("schedule.peak: 0.3 → 0.4",)


def test_a_moved_field_that_equals_its_default_now_is_still_compared() -> None:
    older = {"layers": 2, "peak": 0.3, "names": []}
    assert not compare(call(Settings()), manifest(older)).is_same, "0.3 → 0.1, the default"


def test_a_section_that_is_new_around_the_same_fields_is_the_same() -> None:
    older = {"layers": 3, "names": ["a"], "checkpoint_every": 100}
    now = Strict(inner=Settings(layers=3, names=("a",)))
    assert compare(call(now), manifest(older)).is_same
    other = compare(call(Strict(inner=Settings(layers=4, names=("a",)))), manifest(older))
    assert other.differs == ("inner.layers: 3 → 4",)


def test_a_value_that_was_never_recorded_counts_with_its_default() -> None:
    now = Strict(inner=Settings(layers=3))
    assert "inner.layers: 2 → 3" in compare(call(now), manifest({})).differs


def test_what_cannot_be_read_differs() -> None:
    assert not compare(call(Settings()), manifest({**RECORDED, "layers": "many"})).is_same


def test_inputs_are_compared_by_content() -> None:
    made = manifest(RECORDED, model=["a"], champion=["b"])
    assert compare(call(Settings(), model=["a"], champion=["b"]), made).is_same
    assert compare(call(Settings(), model=["a"], holder=["b"], data=[]), made).is_same, "renamed"
    swapped = compare(call(Settings(), model=["b"], champion=["a"]), made)
    assert len(swapped.differs) == 2
    more = compare(call(Settings(), model=["a", "c"], champion=["b"]), made)
    assert more.differs == ("input model changed (1 → 2)",)
    assert compare(call(Settings(), model=["a"]), made).differs == (
        "input champion is not read any more",
    )
    assert compare(call(Settings(), model=["a"], champion=["b"], items=["d"]), made).differs == (
        "input items is new",
    )


def test_a_signature_leaves_out_what_inputs_are_called() -> None:
    assert signature({"a": ["1", "2"], "b": ["3"]}) == signature(
        {"x": ["3"], "y": ["1", "2"], "z": []}
    )
    assert signature({"a": ["1", "2"]}) != signature({"a": ["2", "1"]})


def test_another_identity_differs() -> None:
    made = {**manifest(RECORDED), "identity": {"snapshot": "2026-01-01"}}
    now = Call(STEP, Settings(), {}, identity={"snapshot": "2026-01-02"})
    assert compare(now, made).differs == ("snapshot: '2026-01-01' → '2026-01-02'",)

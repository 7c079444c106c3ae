"""Parts: what a step may load by name, and that each name leads somewhere."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from llm import registry
from llm.fingerprint import fingerprint
from llm.parts import chosen, load, modules, only

KINDS = tuple(registry.PARTS)


@pytest.mark.parametrize("kind", KINDS)
def test_each_line_of_the_registry_names_something(kind: str) -> None:
    for name, place in registry.PARTS[kind].items():
        module, _, attribute = place.partition(":")
        found = load(kind, name)
        assert found.__name__ == (attribute or module)


def test_a_step_loads_the_parts_of_its_call_and_no_others() -> None:
    from llm.models.decoder import Decoder

    with only(chosen("architecture", ["decoder"])):
        assert load("architecture", "decoder") is Decoder
        with pytest.raises(LookupError, match=r"architecture\.encoder is not among"):
            load("architecture", "encoder")
    assert load("architecture", "encoder").__name__ == "Encoder"


def test_steps_side_by_side_have_each_their_own() -> None:
    def name_of(name: str) -> str:
        with only(chosen("architecture", [name])):
            other = {"decoder": "encoder", "encoder": "decoder"}[name]
            with pytest.raises(LookupError):
                load("architecture", other)
            return str(load("architecture", name).__name__)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(name_of, ["decoder", "encoder"] * 8)) == ["Decoder", "Encoder"] * 8


def test_the_modules_of_parts_are_named_once() -> None:
    both = chosen("architecture", ["encoder", "decoder"])
    assert modules(both) == ("llm.models.decoder", "llm.models.encoder")
    assert modules({**both, "again.decoder": "llm.models.decoder:other"}) == modules(both)


def test_the_registry_is_reached_by_no_part() -> None:
    for parts in registry.PARTS.values():
        for module in modules(parts):
            assert "llm.registry" not in fingerprint(module).modules

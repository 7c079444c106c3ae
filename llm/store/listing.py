"""What listings tell of every artifact, kept so that a manifest is read once."""

from typing import TYPE_CHECKING, Any

from llm.derived import Derived
from llm.store.names import Name, Reference, Summary

if TYPE_CHECKING:
    from llm.store.store import Store


def summaries(store: "Store") -> dict[Name, Summary]:
    """Every artifact's size and inputs; a manifest is read once, and again if it changed."""
    stamps = {"/".join(name): stamp for name, stamp in store.backend.manifests().items()}

    def derive(name: str) -> Any:
        step, _, key = name.partition("/")
        found = store.read(step, key)
        if found is None:
            return None
        return [found.reference.content, found.bytes, found.made_of, found.rewritten]

    found = Derived(store.scratch / "manifests.sqlite", version=2).of(stamps, derive)
    told = {}
    for joined, (content, size, made_of, rewritten) in found.items():
        step, _, key = joined.partition("/")
        inputs = tuple((one, of) for one, of in made_of)
        told[step, key] = Summary(Reference(step, key, content), size, inputs, rewritten)
    return told

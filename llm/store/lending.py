"""Local folders with an artifact's files, for whoever reads them."""

import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from llm.store.cache import Arrived
from llm.store.names import MANIFEST, Artifact, Name, Reference

if TYPE_CHECKING:
    from llm.store.store import Store

_borrowed: contextvars.ContextVar[list[Name] | None] = contextvars.ContextVar(
    "borrowed", default=None
)


class Lending:
    """Hands over the folders of a store's artifacts, or local copies of them."""

    def __init__(self, store: "Store") -> None:
        self.store = store

    @contextmanager
    def borrowing(self) -> Iterator[None]:
        """Within it, in this thread, whatever `local` hands over stays where it is."""
        names: list[Name] = []
        token = _borrowed.set(names)
        try:
            yield
        finally:
            _borrowed.reset(token)
            for name in names:
                self.store.cache.unpin(name)

    def local(self, reference: Reference) -> Path:
        """A local folder with the artifact's files: itself, or a verified copy.

        Outside `borrowing` a copy may be dropped as soon as another needs its room. Raises
        FileNotFoundError when the artifact is gone, or damaged and set aside.
        """
        step, key = reference.step, reference.key
        gone = f"the artifact {step}/{key} is gone: run again to make it again"
        if self.store.is_local:
            folder = Path(self.store.path("artifacts", step, key))
            if not (folder / MANIFEST).is_file() and self.store.read(step, key) is None:
                raise FileNotFoundError(gone)
            return folder
        for last in (False, True):
            artifact = self.store.read(step, key)
            if artifact is None:
                raise FileNotFoundError(gone)
            names = _borrowed.get()
            try:
                copy = self.store.cache.get(
                    artifact, self._fetcher(artifact), pin=names is not None
                )
            except (Arrived, FileNotFoundError):
                # Replaced on the way, damaged where it lies, or spoilt on the way.
                if self.store.verify(artifact, set_aside=True):
                    raise FileNotFoundError(
                        f"the artifact {step}/{key} was damaged and is set aside: run again to "
                        "make it again"
                    ) from None
                if last:
                    raise
                continue
            if names is not None:
                names.append((step, key))
            return copy
        raise AssertionError("the last try returns or raises")

    def _fetcher(self, artifact: Artifact) -> Callable[[str, Path], None]:
        places = artifact.places
        return lambda name, target: self.store.backend.fetch(
            target, "artifacts", *artifact.name, places[name]
        )

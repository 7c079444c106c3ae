"""What killed commits, changes and removals left in a store."""

from typing import TYPE_CHECKING

from llm.store.names import MANIFEST
from llm.store.rewriting import Rewriting

if TYPE_CHECKING:
    from llm.store.store import Store


class Leftovers:
    """Finds and clears them."""

    def __init__(self, store: "Store", rewriting: Rewriting) -> None:
        self.store, self.rewriting = store, rewriting

    def clear(self) -> list[str]:
        """Finish or delete what killed commits, rewritings and removals left; returns the paths.

        Not for while a run makes artifacts: on an object store those that are on their way have no
        manifest yet.
        """
        with self.store.changing.exclusive():
            self.rewriting.finish_all()
            cleared = [self.store.path("going")] if self.store.backend.clear("going") else []
            whole = self.store.backend.manifests()
            for name in self.store.backend.folders("artifacts"):
                if name not in whole:
                    self.store.backend.remove("artifacts", *name)
                    cleared.append(self.store.path("artifacts", *name))
            for path in self._strays():
                self.store.backend.remove_file(*path)
                cleared.append(self.store.path(*path))
            return cleared

    def _strays(self) -> dict[tuple[str, ...], int]:
        """Files in artifacts' folders that are none of theirs, and bytes."""
        found: dict[tuple[str, ...], int] = {}
        for name in self.store.backend.strays():
            artifact = self.store.read(*name)
            own = set() if artifact is None else {MANIFEST, *artifact.places.values()}
            sizes = self.store.backend.sizes("artifacts", *name) if own else {}
            found |= {("artifacts", *name, one): sizes[one] for one in sizes.keys() - own}
        return found

    def left_over(self) -> dict[str, int]:
        """What `clear` and `clear_aside` would delete: path → bytes."""
        found = {self.store.path(top): self.store.backend.sizes(top) for top in ("going", "aside")}
        whole = self.store.backend.manifests()
        staged = set(self.store.backend.folders("rewriting"))
        for name in self.store.backend.folders("artifacts"):
            if name not in whole and name not in staged:
                found[self.store.path("artifacts", *name)] = self.store.backend.sizes(
                    "artifacts", *name
                )
        top_level = (self.store.path("going"), self.store.path("aside"))
        strays = {self.store.path(*path): size for path, size in self._strays().items()}
        return strays | {
            path: sum(sizes.values())
            for path, sizes in found.items()
            if sizes or path not in top_level
        }

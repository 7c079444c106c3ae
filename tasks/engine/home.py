"""Where a project keeps its things: store, run records, Prefect's own home, the machine file."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm.runs import Runs
    from llm.store import Store

PROJECT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Home:
    """The project's folder of state: `.penstock`, or `PENSTOCK_HOME`.

    `PENSTOCK_STORE` puts the artifacts elsewhere: another disk, or an fsspec URL.
    """

    folder: Path

    @classmethod
    def find(cls) -> "Home":
        """The home that the environment names, or the checkout's own."""
        return cls(Path(os.environ.get("PENSTOCK_HOME", PROJECT / ".penstock")).absolute())

    @property
    def store(self) -> "Store":
        """The artifacts."""
        from llm.store import Store

        scratch = self.folder / "store"
        url = os.environ.get("PENSTOCK_STORE")
        self.close_to_others()
        scratch.mkdir(exist_ok=True)
        return Store(url, scratch=scratch) if url else Store(scratch)

    @property
    def runs(self) -> "Runs":
        """Run records and pointers: in this folder, or on the object store of the artifacts."""
        from llm.runs import Runs

        self.close_to_others()
        shared = "://" in os.environ.get("PENSTOCK_STORE", "")
        return Runs(self.folder, self.store if shared else None)

    def close_to_others(self) -> None:
        """Make the folder for its owner alone; one that is there may be shared with a group."""
        if not self.folder.is_dir():
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
        said = self.folder.stat()
        if said.st_mode & 0o007 and said.st_uid == os.geteuid():
            self.folder.chmod(said.st_mode & 0o770)

    @property
    def prefect(self) -> Path:
        """Prefect's database, profiles and results."""
        return self.folder / "prefect"

    @property
    def untold(self) -> Path:
        """What the UI has not been told yet of runs that needed no server."""
        return self.folder / "untold"

    @property
    def machine_file(self) -> Path:
        """How to use this machine."""
        return self.folder / "machine.yaml"

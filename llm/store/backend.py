"""What a store needs of the place where it keeps files: a disk or an object store."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from llm.store.names import Name


class Backend(Protocol):
    """Files by path: parts below the store's root, such as ("artifacts", step, key, name)."""

    def path(self, *parts: str) -> str:
        """The whole path, for people and for the file system."""

    def read(self, *parts: str) -> bytes | None:
        """A file's bytes; None where there is no such file."""

    def write(self, data: bytes, *parts: str) -> None:
        """Write a file, all or nothing."""

    def create(self, data: bytes, *parts: str) -> bool:
        """Write a file where none is; False where there is one. Of two that try, one is told True."""

    def ages(self, *folder: str) -> dict[str, float]:
        """How long ago the files below a folder were written (seconds), by the place's own clock."""

    def sizes(self, *folder: str) -> dict[str, int]:
        """The files below a folder: their names from there, and bytes."""

    def stamps(self, folder: str) -> dict[str, str]:
        """The files right in a folder, each with a stamp that changes with it ("": not known)."""

    def stamp(self, *parts: str) -> str | None:
        """A file's stamp; None where there is no such file."""

    def manifests(self, step: str | None = None) -> dict[Name, str]:
        """The artifacts (of a step) that have a manifest, each with a stamp that changes with it.

        A stamp is "" where it cannot be told.
        """

    def folders(self, top: str) -> list[Name]:
        """Every step and key below a folder, whatever lies there; sorted."""

    def digest(self, *parts: str) -> str:
        """Hex digest of a file. Raises FileNotFoundError."""

    def commit(self, source: Path, manifest: Mapping[str, Any], *folder: str) -> dict[str, Any]:
        """Move a local folder to where no artifact is; all or nothing. Returns its manifest.

        Of two that try, one wins and the other is told FileExistsError. That is also raised where
        something lies that is no artifact (disk only).
        """

    def put(self, source: Path, names: Iterable[str], *folder: str) -> None:
        """Move a local folder to where no folder is; its manifest comes last."""

    def strays(self) -> list[Name]:
        """Artifacts that may have files besides their own, left by commits that came too late."""

    def copy(
        self, source: tuple[str, ...], names: Iterable[str], manifest: bytes, *target: str
    ) -> None:
        """Put files of a folder, with a manifest, also where no folder is; the manifest comes last.

        They take no room twice where the file system can link them. Raises FileExistsError.
        """

    def move_file(self, source: tuple[str, ...], target: tuple[str, ...]) -> None:
        """Put a file in another's place."""

    def remove_file(self, *parts: str) -> None:
        """Delete a file, if it is there."""

    def remove(self, *folder: str) -> None:
        """Delete a folder, if it is there. Killed midway, no whole artifact is left at its place."""

    def move(self, source: tuple[str, ...], target: tuple[str, ...]) -> None:
        """Move a folder; killed midway, no whole artifact is left at `source`."""

    def clear(self, top: str) -> bool:
        """Delete all of a folder at the top of the store; True where there was something."""

    def fetch(self, target: Path, *parts: str) -> None:
        """Copy a file to a local path."""

"""What names an artifact, and what its manifest tells."""

import dataclasses
from collections.abc import Mapping
from typing import Any

MANIFEST = "manifest.json"

Name = tuple[str, str]
"""Step and key: where an artifact lies."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """What names an artifact, or one part of it, for a later step. Plain data."""

    step: str
    key: str
    content: str
    part: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for run records and flow parameters."""
        return {"step": self.step, "key": self.key, "content": self.content, "part": self.part}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Reference":
        """The inverse of `to_json`."""
        return cls(**value)


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A finished artifact: its manifest, read."""

    manifest: Mapping[str, Any]

    @property
    def name(self) -> Name:
        """Its step and key."""
        return self.manifest["step"], self.manifest["key"]

    @property
    def reference(self) -> Reference:
        """The name of the whole artifact."""
        return Reference(self.manifest["step"], self.manifest["key"], self.manifest["content"])

    @property
    def parts(self) -> dict[str, Reference]:
        """The names of its parts, in order."""
        whole = self.reference
        return {
            part: Reference(whole.step, whole.key, content, part)
            for part, content in sorted(self.manifest["parts"].items())
        }

    @property
    def bytes(self) -> int:
        """Size of its files."""
        return sum(item["bytes"] for item in self.manifest["files"].values())

    @property
    def places(self) -> dict[str, str]:
        """Where each file lies in the artifact's folder: under its name, or as the manifest says."""
        return {name: of.get("at", name) for name, of in self.manifest["files"].items()}

    @property
    def made_of(self) -> list[Name]:
        """The artifacts that it was made from."""
        return [
            (item["step"], item["key"])
            for items in self.manifest.get("inputs", {}).values()
            for item in items
            if "key" in item
        ]

    @property
    def rewritten(self) -> bool:
        """Whether it may be made again, long after, from what it was made of (an erasure does)."""
        # Manifests did not always say it.
        return bool(self.manifest.get("rewritten", self.manifest["step"] in ("write", "decide")))


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a listing tells of an artifact without reading its manifest each time.

    rewritten: it may be made again, long after, from what it was made of.
    """

    reference: Reference
    bytes: int
    made_of: tuple[Name, ...]
    rewritten: bool = False

    @property
    def name(self) -> Name:
        """Step and key."""
        return self.reference.step, self.reference.key

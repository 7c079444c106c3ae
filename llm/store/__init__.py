"""Artifacts: immutable, content-addressed folders on a local disk or an object store."""

from llm.store.disk import folder_bytes
from llm.store.names import MANIFEST, Artifact, Reference
from llm.store.store import Store

__all__ = ["MANIFEST", "Artifact", "Reference", "Store", "folder_bytes"]

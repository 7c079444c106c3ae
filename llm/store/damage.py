"""What of an artifact's files is not as its manifest says."""

from llm.store.backend import Backend
from llm.store.names import Artifact


def missing(backend: Backend, artifact: Artifact) -> list[str]:
    """Files that are not there, or have another size: one listing, no file is read."""
    sizes = backend.sizes("artifacts", *artifact.name)
    problems = []
    places = artifact.places
    for name, expected in artifact.manifest["files"].items():
        size = sizes.get(places[name])
        if size is None:
            problems.append(f"{name} is missing")
        elif size != expected["bytes"]:
            problems.append(f"{name} has {size} bytes instead of {expected['bytes']}")
    return problems


def differing(backend: Backend, artifact: Artifact) -> list[str]:
    """What `missing` tells, or else the files with other bytes than the manifest says."""
    problems = missing(backend, artifact)
    places = artifact.places
    for name, expected in artifact.manifest["files"].items() if not problems else ():
        try:
            found = backend.digest("artifacts", *artifact.name, places[name])
            if found != expected["digest"]:
                problems.append(f"{name} does not match its digest")
        except FileNotFoundError:
            problems.append(f"{name} is missing")
    return problems

"""Which backend a store's address means."""

from pathlib import Path

from llm.store.backend import Backend
from llm.store.disk import Disk


def backend_at(url: str) -> tuple[Backend, Path | None]:
    """Where the files of a store at `url` are, and the folder of one on a disk."""
    if "://" not in url and "::" not in url:
        folder = Path(url).expanduser().absolute()
        return Disk(folder), folder
    import fsspec  # a tenth of a second, and a store on a disk needs none of it

    from llm.store.objects import Objects

    # A listing that is kept would deny what another machine has written since.
    fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    protocols = fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)
    if "file" in protocols:
        return Disk(Path(root)), Path(root)
    return Objects(fs, root), None

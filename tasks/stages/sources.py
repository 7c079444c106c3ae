"""The calls that read each kind of source that is not a web site, and what names their results."""

from llm.corpus.crawl import Source
from llm.corpus.sources.files_settings import FilesSource
from llm.corpus.sources.hook_settings import HookSource
from llm.corpus.sources.hub_settings import HubSource
from llm.corpus.sources.warc_settings import WarcSource
from llm.fingerprint import digest_values, fingerprint, library_version
from llm.step import BadInput
from tasks.engine.step import Call, Outside, Step

FILES = Step("crawl", "llm.corpus.sources.files:read", holds="pages", files_in="path")
WARC = Step("crawl", "llm.corpus.sources.warc:read", retries=3, holds="pages", files_in="path")
HUB = Step("crawl", "llm.corpus.sources.hub:read", retries=3, holds="pages", files_in="path")
HOOK = Step("crawl", "llm.corpus.sources.hook:read", holds="pages", files_in="path")


def source_call(name: str, source: Source, snapshot: str) -> Call:
    """The call that reads a source: named by its settings, the user's files and his code.

    Nothing here asks the network: an address or a pinned revision stands for its content.
    """
    if isinstance(source, FilesSource):
        from llm.corpus.sources import files

        return Call(FILES, source, {"files": [Outside.files(files.expand(source.path))]}, name)
    if isinstance(source, WarcSource):
        from llm.corpus.sources import warc

        here = warc.local_files(source)
        inputs = {"files": [Outside.files(here)]} if here else {}
        return Call(WARC, source, inputs, name, warc.identity(source, snapshot))
    if isinstance(source, HubSource):
        from llm.corpus.sources import hub

        folder = hub.local_folder(source)
        inputs = {"files": [Outside.folder(folder)]} if folder else {}
        return Call(HUB, source, inputs, name)
    if isinstance(source, HookSource):
        from llm.corpus.sources import hook

        here = hook.local_files(source)
        inputs = {"files": [Outside.files(here)]} if here else {}
        identity = hook.identity(source, snapshot) | {"hook": hook_identity(source.function)}
        parts = hook_parts(source.function)
        return Call(HOOK, source, inputs, name, identity, parts=parts)
    raise TypeError(f"the source {name!r} is a web site")


def hook_identity(name: str) -> str:
    """Digest of a hook's own code, without comments, and of the libraries that it imports.

    The modules of ours that it imports are parts of the call (`hook_parts`): what changes there is a
    change of Penstock's code. Raises BadInput for a hook that is not there.
    """
    from llm.corpus import hooks

    made_of = hooks.reach(name)
    try:
        parts = [fingerprint(module, root=made_of.root) for module in made_of.modules]
    except (ValueError, OSError) as error:
        raise BadInput(f"the hook {name}: {error}") from error
    modules: dict[str, str] = {}
    libraries = {library: library_version(library) for library in made_of.libraries}
    for part in parts:
        modules.update(part.modules)
        libraries.update(part.libraries)
    return digest_values({"modules": modules, "libraries": libraries})


def hook_parts(*names: str) -> dict[str, str]:
    """The modules of ours that hooks import, as parts of a call. Raises BadInput."""
    from llm.corpus import hooks

    return {f"hook.{module}": module for name in names for module in hooks.reach(name).ours}

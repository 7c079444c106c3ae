"""What the built-in documentation site answers to each path, dirt included.

Besides its pages the site has what web sites have: menus, links with tracking parameters, pages
that exist twice or nearly, redirects, dead links, a private part that robots.txt closes.
"""

import email.utils
import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from llm.corpus.site import render
from llm.corpus.site.documentation import SITE, Source, Topic, read
from llm.step import digest_of

HOST = SITE.removeprefix("http://")

# Every so manieth module has a page to print (nearly the same) and a mirrored one (the same).
_PRINTED_EVERY = 29
_MIRRORED_EVERY = 37
# Indexes are split into pages of this many links.
_INDEX_LINKS = 200

_ROBOTS = f"""User-agent: *
Disallow: /private/
Disallow: /search
Allow: /

Sitemap: {SITE}/sitemap.xml
"""

_ABOUT = """<p>This site documents a Python installation: its standard library, the reference of the
language and, where asked for, the packages that are installed. Every page is made from the text
that the authors of a module wrote into its source, so it says what that very version does.</p>
<p>Functions and classes stand in the order of the source. A page shows for each of them how it is
called, what it is for and, where the author gave them, some examples. The names of private parts
are left out, as nobody should rely on them.</p><h2 id="contact">Contact</h2>
<p>Write to webmaster@docs.penstock.test, or look at <a href="/old/contact.html">the old page</a>.
For the staff: <a href="/private/notes.html">internal notes</a>.</p>"""


@dataclass(frozen=True)
class Response:
    """What the site sends."""

    status: int
    content_type: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Site:
    """The pages over the given modules and topics. Made page by page, when it is asked for."""

    def __init__(self, sources: list[Source], topics: list[Topic]) -> None:
        self.sources = {_path(item.url): item for item in sources if _documented(item)}
        self.topics = {_path(item.url): item for item in topics}
        self.names = {item.name: path for path, item in self.sources.items()}
        for path, topic in self.topics.items():
            self.names.setdefault(topic.name, path)
        self.children: dict[str, list[tuple[str, str]]] = {}
        for path, item in self.sources.items():
            self.children.setdefault(item.name.rpartition(".")[0], []).append((item.name, path))
        library = [path for path, item in self.sources.items() if not item.distribution]
        self.printed = {f"/print{path}": path for path in library[::_PRINTED_EVERY]}
        self.mirrored = {f"/mirror{path}": path for path in library[::_MIRRORED_EVERY]}
        self.indexes = dict(self._indexes())

    def respond(self, path: str) -> Response:
        """The answer to GET `path` (without its query)."""
        if path == "/robots.txt":
            return Response(200, "text/plain; charset=utf-8", _ROBOTS.encode())
        if path == "/sitemap.xml":
            return Response(200, "application/xml", self._sitemap)
        if path == "/style.css":
            return Response(200, "text/css", b"body { max-width: 50em; margin: auto; }\n")
        if path in ("/old/", "/docs/", "/old/index.html"):
            return Response(301, "text/html", headers={"Location": f"{SITE}/library/"})
        if path.startswith("/private/"):
            return _page("Internal notes", "<p>Robots were asked to stay out of here.</p>")
        if path in self.indexes:
            return self.indexes[path]
        if path in self.mirrored:
            return self.respond(self.mirrored[path])
        if path in self.printed:
            return self._module(self.printed[path], "Printed version. ")
        if path in self.sources:
            return self._module(path)
        if path in self.topics:
            topic = self.topics[path]
            body = render.topic_body(topic, self.names.get)
            return _page(render.topic_title(topic), body, [("Language", "/topics/")])
        return _page("Not found", "<p>There is no such page.</p>", status=404)

    def _module(self, path: str, note: str = "") -> Response:
        source = self.sources[path]
        module = read(source)
        if module is None:
            return _page("Not found", "<p>There is no such page.</p>", status=404)
        home = "/packages/" if source.distribution else "/library/"
        trail = [("Packages" if source.distribution else "Library", home)]
        parents = source.name.split(".")[:-1]
        for count in range(1, len(parents) + 1):
            name = ".".join(parents[:count])
            if name in self.names:
                trail.append((name, self.names[name]))
        children = self.children.get(source.name)
        body = render.module_body(module, self.names.get)
        if children:
            body += "<h2>Submodules</h2>" + render.listing(children)
        note += f"{html.escape(source.distribution or 'Python standard library')}. "
        return _page(module.name, body, trail, note)

    def _indexes(self) -> Iterator[tuple[str, Response]]:
        """The pages that list others."""
        library = [(i.name, path) for path, i in self.sources.items() if not i.distribution]
        packages = [(i.name, path) for path, i in self.sources.items() if i.distribution]
        topics = [(render.topic_title(item), path) for path, item in self.topics.items()]
        yield from _index("/library/", "The standard library", library)
        yield from _index("/topics/", "The language reference", topics)
        yield from _index("/packages/", "Installed packages", packages)
        about = _page("About this site", _ABOUT)
        yield "/about.html", about
        extra = [("Printed: " + path, path) for path in self.printed]
        extra += [("Mirror: " + path, path) for path in self.mirrored]
        extra += [("The old manual", "/old/"), ("A lost page", "/library/no-such-module.html")]
        yield "/extra.html", _page("Other versions", render.listing(extra))
        links = [
            ("The standard library", "/library/?utm_source=home&utm_campaign=start"),
            ("The language reference", "/topics/"),
            *([("Installed packages", "/packages/")] if packages else []),
            ("Other versions", "/extra.html"),
            ("About", "/about.html"),
        ]
        home = _page("Python documentation", "<p>Welcome.</p>" + render.listing(links))
        yield "/", home
        yield "/index.html", home

    @cached_property
    def _sitemap(self) -> bytes:
        paths = [*self.sources, *self.topics, "/about.html"]
        rows = "\n".join(f"<url><loc>{html.escape(SITE + path)}</loc></url>" for path in paths)
        space = "http://www.sitemaps.org/schemas/sitemap/0.9"
        head = '<?xml version="1.0" encoding="UTF-8"?>'
        return f'{head}\n<urlset xmlns="{space}">\n{rows}\n</urlset>\n'.encode()


def _path(url: str) -> str:
    return url.removeprefix(SITE)


def _documented(source: Source) -> bool:
    """Whether the file can hold documentation at all: a cheap look, so that no site lists the rest."""
    try:
        text = source.path.read_bytes()
    except OSError:
        return False
    return b'"""' in text or b"'''" in text


def _index(path: str, title: str, items: list[tuple[str, str]]) -> Iterator[tuple[str, Response]]:
    pages = [items[start : start + _INDEX_LINKS] for start in range(0, len(items), _INDEX_LINKS)]
    for number, part in enumerate(pages, start=1):
        address = path if number == 1 else f"{path}page{number}.html"
        body = render.listing(part)
        if number < len(pages):
            body += f'<p><a href="{path}page{number + 1}.html">Next page</a></p>'
        yield address, _page(title if number == 1 else f"{title}, page {number}", body)


def _page(
    title: str,
    body: str,
    trail: list[tuple[str, str]] | None = None,
    note: str = "",
    status: int = 200,
) -> Response:
    """A page with the validators that let a crawler ask whether it changed."""
    content = render.page(title, body, [("Home", "/"), *(trail or [])], note)
    headers = {"ETag": f'"{digest_of([content])[:20]}"', "Last-Modified": _EPOCH}
    return Response(status, "text/html; charset=utf-8", content, headers if status == 200 else {})


# When a page was changed is not known; its ETag tells.
_EPOCH = email.utils.formatdate(1_700_000_000, usegmt=True)

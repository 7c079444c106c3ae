"""Documentation as web pages: docstrings become paragraphs, lists and code."""

import html
import re
from collections.abc import Callable, Iterable

from llm.corpus.site.documentation import Class, Function, Module, Topic

_BULLET = re.compile(r"^\s*([-*+•]|\d+[.)])\s+")
_UNDERLINE = re.compile(r"^([=~\-^\"*#+])\1{2,}\s*$")

Link = Callable[[str], str | None]
"""Gives the path of a module's or topic's page, None where there is none."""


def page(title: str, body: str, trail: Iterable[tuple[str, str]] = (), note: str = "") -> bytes:
    """A whole page: head, navigation, the body, footer. `trail`: (title, path) of what is above."""
    crumbs = " » ".join(f'<a href="{path}">{html.escape(name)}</a>' for name, path in trail)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)} — Python documentation</title>
<link rel="stylesheet" href="/style.css"><meta name="viewport" content="width=device-width">
<script>document.documentElement.className = "js";</script></head>
<body><header><nav class="menu"><ul><li><a href="/">Home</a></li>
<li><a href="/library/?utm_source=menu">Library</a></li><li><a href="/topics/">Language</a></li>
<li><a href="/search?q=">Search</a></li><li><a href="/about.html#contact">About</a></li></ul></nav>
<div class="breadcrumbs">{crumbs}</div></header>
<main><article><h1>{html.escape(title)}</h1>
{body}
</article></main>
<footer><p>{note}<a href="#top">Back to top</a> · <a href="/about.html?utm_medium=footer">About this
site</a> · <a href="mailto:webmaster@docs.penstock.test">Contact</a></p></footer></body></html>
""".encode()


def module_body(module: Module, link: Link) -> str:
    """A module's page between its title and the footer."""
    parts = [text_blocks(module.doc)]
    if module.functions:
        parts.append("<h2>Functions</h2>")
        parts += [_function(item, 3) for item in module.functions]
    if module.classes:
        parts.append("<h2>Classes</h2>")
        parts += [_class(item) for item in module.classes]
    related = [(name, path) for name in module.imports if (path := link(name))]
    if related:
        parts.append('<aside class="related"><h2>See also</h2><ul>')
        parts += [f'<li><a href="{path}">{html.escape(name)}</a></li>' for name, path in related]
        parts.append("</ul></aside>")
    return "\n".join(parts)


def topic_body(topic: Topic, link: Link) -> str:
    """A topic's page: its own first heading is the title already."""
    lines = topic.text.split("\n")
    if len(lines) > 1 and _UNDERLINE.match(lines[1]):
        lines = lines[2:]
    words = sorted(set(re.findall(r"[a-z][a-z_.]{3,}", topic.text)))
    related = [(name, path) for name in words if name != topic.name and (path := link(name))]
    body = text_blocks("\n".join(lines).strip("\n"))
    items = "".join(f'<li><a href="{path}">{name}</a></li>' for name, path in related)
    return f'{body}\n<aside class="related"><h2>Related</h2><ul>{items}</ul></aside>'


def topic_title(topic: Topic) -> str:
    """A topic's first heading, else its name."""
    lines = topic.text.split("\n")
    return lines[0].strip() if len(lines) > 1 and _UNDERLINE.match(lines[1]) else topic.name


def listing(items: Iterable[tuple[str, str]]) -> str:
    """A list of links: (title, path)."""
    rows = "".join(f'<li><a href="{path}">{html.escape(name)}</a></li>\n' for name, path in items)
    return f'<ul class="index">\n{rows}</ul>'


def text_blocks(text: str) -> str:
    """Plain text with docstring conventions as HTML.

    Blank lines part paragraphs; a block with `>>>` or indented throughout is code; lines that
    start with bullets or numbers are a list; an underlined line is a heading.
    """
    blocks = re.split(r"\n[ \t]*\n", text.expandtabs()) if text.strip() else []
    return "\n".join(_merge(_block(block.strip("\n")) for block in blocks))


def _block(block: str) -> tuple[str, str]:
    """(kind, content) of one block; code is merged with code beside it."""
    lines = block.split("\n")
    if lines[0].lstrip().startswith(">>>") or all(line.startswith("  ") for line in lines):
        return "code", html.escape(block, quote=False)
    if len(lines) > 1 and _UNDERLINE.match(lines[1]):
        rest = "\n".join(lines[2:])
        heading = f"<h4>{html.escape(lines[0].strip(), quote=False)}</h4>"
        return "text", heading + (text_blocks(rest) if rest.strip() else "")
    if _BULLET.match(lines[0]):
        items: list[str] = []
        for line in lines:
            bullet = _BULLET.match(line)
            if bullet and not (items and line.startswith("    ")):
                items.append(line[bullet.end() :])
            else:
                items[-1] += " " + line.strip()
        inner = "".join(f"<li>{html.escape(item.strip(), quote=False)}</li>\n" for item in items)
        return "text", f"<ul>\n{inner}</ul>"
    if any(line.startswith("    ") for line in lines[1:]) and len(lines) > 2:
        return "code", html.escape(block, quote=False)  # a table, or options with explanations
    joined = "\n".join(line.strip() for line in lines)
    return "text", f"<p>{html.escape(joined, quote=False)}</p>"


def _merge(blocks: Iterable[tuple[str, str]]) -> Iterable[str]:
    code: list[str] = []
    for kind, content in blocks:
        if kind == "code":
            code.append(content)
            continue
        if code:
            yield "<pre>" + "\n\n".join(code) + "</pre>"
            code = []
        yield content
    if code:
        yield "<pre>" + "\n\n".join(code) + "</pre>"


def _function(item: Function, level: int) -> str:
    prefix = "" if item.kind in ("function", "method") else f"<em>{item.kind}</em> "
    anchor = html.escape(item.qualified_name)
    heading = f"{prefix}<code>{html.escape(item.signature, quote=False)}</code>"
    return f'<h{level} id="{anchor}">{heading}</h{level}>\n{text_blocks(item.doc)}'


def _class(item: Class) -> str:
    bases = f"({', '.join(item.bases)})" if item.bases else ""
    heading = f"<em>class</em> <code>{html.escape(item.name + bases, quote=False)}</code>"
    anchor = html.escape(item.qualified_name)
    methods = [_function(method, 4) for method in item.methods]
    return "\n".join([f'<h3 id="{anchor}">{heading}</h3>', text_blocks(item.doc), *methods])

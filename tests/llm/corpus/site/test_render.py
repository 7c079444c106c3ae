"""Docstrings must come out of their pages as their authors meant them."""

import html
import re

from llm.corpus.site import documentation, render


def test_paragraphs_lists_headings_and_code_are_told_apart() -> None:
    text = (
        "First line\nand second.\n\nUsage\n=====\n\n- one\n- two\n  goes on\n\n>>> 1 < 2\nTrue\n\n"
        "    indented\n\nThe end."
    )
    found = render.text_blocks(text)
    assert "<p>First line\nand second.</p>" in found
    assert "<h4>Usage</h4>" in found
    assert "<ul>\n<li>one</li>\n<li>two goes on</li>\n</ul>" in found
    assert "<pre>&gt;&gt;&gt; 1 &lt; 2\nTrue\n\n    indented</pre>" in found
    assert found.endswith("<p>The end.</p>")


def test_no_word_of_a_docstring_is_lost() -> None:
    names = {"argparse", "json", "email.message", "statistics", "turtle"}
    sources = [item for item in documentation.standard_library() if item.name in names]
    for module in documentation.modules(sources):
        body = html.unescape(re.sub(r"<[^>]+>", " ", render.module_body(module, lambda name: None)))
        shown = set(re.findall(r"\w+", body))
        docs = [module.doc, *(item.doc for item in module.functions)]
        docs += [method.doc for item in module.classes for method in item.methods]
        for doc in docs:
            plain = set(re.findall(r"\w+", re.sub(r"(?m)^\s*\d+[.)]\s", "", doc)))
            assert {word for word in plain if word.strip("_")} <= shown

"""Elements of HTML: which are read, which are blocks, and what one says of what it holds."""

import re
from typing import Any

from lxml import etree

from llm.corpus.reading.names import COMMENTS, NOISE, STRONG, WIDE, kind_of_names, words

# Never text of the page, whatever they hold.
SKIPPED = words(
    "script style noscript template iframe svg button select option textarea input object embed "
    "applet audio video canvas map picture nav footer menu dialog head link meta datalist "
    "figcaption rp rt progress meter title base source track param frame frameset"
)
INLINE = words(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr output "
    "q rb ruby s samp slot small span strike strong sub sup time tt u var wbr amp-link"
)
# The other elements of HTML that are blocks. What is not listed here (custom elements, say) is inline
# unless it holds blocks, as CSS has it.
BLOCKS = words(
    "div section article main header aside address figure table tbody thead tfoot tr caption colgroup col "
    "ul ol dl dir details summary fieldset legend form center hgroup search html body p li dt dd td th "
    "blockquote pre hr h1 h2 h3 h4 h5 h6 nav footer"
)
HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
# Elements that are one paragraph, not what holds them.
LEAVES = frozenset({"p", "li", "dt", "dd", "tr", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6"})
_NOISY_ROLES = words(
    "navigation complementary contentinfo banner search dialog alertdialog menu menubar toolbar "
    "tablist button"
)
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_ASIDE_OF_TEXT = re.compile(r"note|warning|tip|callout|admonition|caution|important", re.IGNORECASE)

# Blocks of as much prose hardly are teasers (characters).
LONG = 200
# Trimmings by name with fewer characters (white space and scripts included) are not looked into.
SHORT = {NOISE: 300, STRONG: 600, COMMENTS: 0}
LENGTH = etree.XPath("string-length(.)")

# Elements that are what they are, whatever they are called.
_OF_TEXT = ("article", "main", "body", "blockquote")
_NEVER_BY_NAME = {NOISE: _OF_TEXT, STRONG: _OF_TEXT, COMMENTS: ("main", "body")}


def kind_of(node: Any, tag: str, inline: bool = False) -> tuple[int, str]:
    """What an element's names say (CONTENT, NOISE ... or 0; -1: never read), and its names."""
    items = node.items()
    if not items:
        return (NOISE if tag in ("aside", "form") else 0), ""
    attributes = dict(items)
    get = attributes.get
    if "hidden" in attributes and get("hidden") != "until-found":
        return -1, ""
    if "style" in attributes and _HIDDEN_STYLE.search(attributes["style"]):
        return -1, ""
    # The id of a heading, or of a section of a manual, is made of its title.
    told = tag in HEADINGS or attributes.get("class") == "section"
    names = get("class", "") + " " + ("" if told else get("id", ""))
    if names == " ":
        names = "itemprop " if "itemprop" in attributes else ""
    role = get("role")
    if role in _NOISY_ROLES and (tag not in ("body", "main", "article")):
        return STRONG, names
    kind = kind_of_names(names) if names else 0
    if tag == "form" and kind <= NOISE:
        # Some systems put the whole page into one: it is most of the prose then.
        return NOISE, names
    if inline:
        return (-1 if kind > WIDE and LENGTH(node) < LONG else 0), names
    if kind == 0 and get("aria-hidden") == "true":
        return STRONG, names
    if tag == "aside" and not _ASIDE_OF_TEXT.search(names):
        return max(NOISE, kind), names
    if kind > WIDE and tag in _NEVER_BY_NAME.get(kind, ()):
        return 0, names
    return kind, names

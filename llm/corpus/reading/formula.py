r"""Formulas of web pages as one piece of text: their TeX where the page has it, else a line of MathML.

MathML carries its source as `annotation` or `alttext` (MathML Core, 2.3 and 5.2), KaTeX and Wikipedia keep
MathML beside what they draw, MathJax 2 leaves TeX in a script. TeX stands in \(...\), display formulas in \[...\].
"""

import re
from functools import lru_cache
from typing import Any

# Elements that draw a formula which stands beside them as MathML or TeX.
_DRAWN = re.compile(r"(?:^|\s)(?:katex(?:-display)?|mwe-math-element|MathJax\w*|ltx_Math)(?=\s|$)")
_IMAGE = re.compile(r"(?:^|\s)(?:tex|latex|mwe-math-fallback-image-\w+)(?=\s|$)")
_TEX = ("application/x-tex", "application/x-latex", "tex", "latex")
_SPACED = frozenset("=<>≤≥≠≈≡∼→←⇒⇔∈∉⊂⊆+−±×÷∪∩∧∨") | {":=", "-"}
_SIGN = re.compile(r"^([-−+±]) ")
_BETWEEN = {"mfrac": "/", "msub": "_", "msup": "^", "munder": "_", "mover": "^"}


@lru_cache(maxsize=50_000)
def draws_formula(names: str) -> bool:
    """Whether an element of these names ("class id") draws a formula."""
    return _DRAWN.search(names) is not None


def formula(node: Any) -> str:
    """The formula of a `math` element, or of one that draws it; "" where there is none to read."""
    math = node if node.tag == "math" else next(node.iter("math"), None)
    if math is None:
        return ""
    tex = _tex(math)
    if not tex:
        return _SIGN.sub(r"\1", " ".join(_line(math).split()))
    names = node.get("class") or ""
    is_display = (
        "block" in (math.get("display"), node.get("display"))
        or math.get("mode") == "display"
        or node.get("display") == "true"
        or "display" in names.lower()
    )
    return delimited(tex, is_display)


def has_source(node: Any) -> bool:
    """Whether MathJax's script stands behind what MathJax drew of it."""
    for _ in range(3):
        node = node.getnext()
        if node is None:
            return False
        if node.tag == "script":
            return (node.get("type") or "").startswith("math/tex")
        if "MathJax" not in (node.get("class") or ""):
            return False
    return False


def script(node: Any) -> str:
    """The formula of MathJax's script, "" of any other."""
    kind = node.get("type") or ""
    if not kind.startswith("math/tex") or not node.text:
        return ""
    return delimited(node.text, "mode=display" in kind)


def image(node: Any) -> str:
    """The formula that an image shows, by its alternative text."""
    names = node.get("class") or ""
    return delimited(node.get("alt") or "", False) if names and _IMAGE.search(names) else ""


def delimited(tex: str, is_display: bool) -> str:
    r"""TeX on one line, in \(...\) or \[...\]."""
    tex = " ".join(tex.split())
    if not tex:
        return ""
    return rf"\[{tex}\]" if is_display else rf"\({tex}\)"


def _tex(math: Any) -> str:
    for note in math.iter("annotation"):
        if (note.get("encoding") or "").lower() in _TEX and (note.text or "").strip():
            return str(note.text)
    return (math.get("alttext") or "").strip()


def _line(node: Any, depth: int = 0) -> str:
    """MathML on one line, as one would type it: x^2 + 1, (a + b)/2."""
    tag = node.tag
    if not isinstance(tag, str) or tag in ("annotation", "annotation-xml") or depth > 100:
        return ""
    if tag == "mo":
        text = (node.text or "").strip()
        return f" {text} " if text in _SPACED else text
    if not len(node):
        return node.text or ""
    parts = [_line(child, depth + 1) for child in node]
    if tag in _BETWEEN and len(parts) == 2:
        first, second = map(_grouped, parts)
        return f"{first}{_BETWEEN[tag]}{second}"
    if tag in ("msubsup", "munderover") and len(parts) == 3:
        first, second, third = map(_grouped, parts)
        return f"{first}_{second}^{third}"
    if tag == "msqrt":
        return "√" + _grouped("".join(parts))
    if tag == "mroot" and len(parts) == 2:
        return f"{_grouped(parts[0])}^(1/{parts[1].strip()})"
    if tag == "mtable":
        return "; ".join(parts)
    return (", " if tag == "mtr" else "").join(parts)


def _grouped(text: str) -> str:
    text = _SIGN.sub(r"\1", text.strip())
    return text if len(text) < 2 or text.isalnum() else f"({text})"

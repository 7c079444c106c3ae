r"""Formulas and custom elements stay in their sentence."""

import pytest

from llm.corpus.reading.article import read_article

PROSE = (
    "Masons who had learned their trade further south built it in stone, and merchants paid a toll "
    "that kept the piers in repair."
)
TEX = r"\frac{a_1}{2}"
ANNOTATION = f'<annotation encoding="application/x-tex">{TEX}</annotation>'
HALF = "<mfrac><msub><mi>a</mi><mn>1</mn></msub><mn>2</mn></mfrac>"


def read(middle: str) -> str:
    html = (
        f"<main><article><p>{PROSE}</p><p>{middle}</p><p>{PROSE} So it stood.</p></article></main>"
    )
    first, *found, last = read_article(html).text.split("\n\n")
    assert (first, last) == (PROSE, f"{PROSE} So it stood.")
    return "\n\n".join(found)


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (f"<math><semantics>{HALF}{ANNOTATION}</semantics></math>", rf"\({TEX}\)"),
        (f'<math alttext="{TEX}">{HALF}</math>', rf"\({TEX}\)"),
        (
            f'<math display="block"><semantics>{HALF}{ANNOTATION}</semantics></math>',
            rf"\[{TEX}\]",
        ),
        (  # KaTeX
            f'<span class="katex"><span class="katex-mathml"><math><semantics>{HALF}{ANNOTATION}</semantics></math>'
            '</span><span class="katex-html" aria-hidden="true"><span>a</span><span>1</span></span></span>',
            rf"\({TEX}\)",
        ),
        (
            f'<span class="katex-display"><span class="katex"><span class="katex-mathml"><math><semantics>{HALF}'
            f'{ANNOTATION}</semantics></math></span><span class="katex-html">a1</span></span></span>',
            rf"\[{TEX}\]",
        ),
        (  # MathJax 3
            '<mjx-container jax="CHTML"><mjx-math><mjx-mi>a</mjx-mi></mjx-math><mjx-assistive-mml>'
            f"<math><semantics>{HALF}{ANNOTATION}</semantics></math></mjx-assistive-mml></mjx-container>",
            rf"\({TEX}\)",
        ),
        (  # MathJax 2
            '<span class="MathJax_Preview"></span><span class="MathJax"><nobr><span>a</span></nobr></span>'
            f'<script type="math/tex">{TEX}</script>',
            rf"\({TEX}\)",
        ),
        (f'<script type="math/tex; mode=display">{TEX}</script>', rf"\[{TEX}\]"),
        (  # Wikipedia
            f'<span class="mwe-math-element"><span style="display: none;"><math alttext="{TEX}">{HALF}</math></span>'
            f'<img class="mwe-math-fallback-image-inline" alt="{TEX}"></span>',
            rf"\({TEX}\)",
        ),
        (f"<math>{HALF}</math>", "(a_1)/2"),
        ("<math><mi>x</mi><mo>=</mo><mn>2</mn></math>", "x = 2"),
        (
            "<math><mn>1.3</mn><mo>·</mo><msup><mn>10</mn><mrow><mo>−</mo><mn>4</mn></mrow></msup></math>",
            "1.3·10^(−4)",
        ),
        ("<math><msqrt><mi>x</mi><mo>+</mo><mn>1</mn></msqrt></math>", "√(x + 1)"),
        ("<relative-time>on 4 May</relative-time>", "on 4 May"),
        ("<output>42</output>", "42"),
        ("<slot>a word</slot>", "a word"),
        ("<x-made-up><b>a</b> word</x-made-up>", "a word"),
    ],
)
def test_a_formula_or_custom_element_stays_in_its_sentence(markup: str, text: str) -> None:
    assert read(f"The span is {markup} metres, said the mayor.") == (
        f"The span is {text} metres, said the mayor."
    )


def test_a_custom_element_that_holds_blocks_is_one() -> None:
    html = f"<x-app><x-part><p>{PROSE}</p></x-part><x-part><p>{PROSE} So it stood.</p></x-part></x-app>"
    assert read_article(html).text == f"{PROSE}\n\n{PROSE} So it stood."


def test_a_formula_in_a_cell_is_one_cell() -> None:
    power = "<math><msup><mn>10</mn><mrow><mo>-</mo><mn>4</mn></mrow></msup></math>"
    table = f"<table><tr><td>error</td><td>1.3 {power} mm</td></tr></table>"
    html = f"<main><p>{PROSE}</p>{table}<p>{PROSE} So it stood.</p></main>"
    assert "error\t1.3 10^(-4) mm" in read_article(html).text


def test_a_page_that_is_all_in_noscript_is_read_and_a_notice_is_not() -> None:
    notice = "<noscript>You need to enable scripts to run this app, or so it says.</noscript>"
    assert "enable" not in read_article(f"<body>{notice}<div id='root'></div></body>").text
    page = "".join(f"<p>{PROSE} {number}.</p>" for number in range(4))
    html = f"<body><div id='root'></div><noscript><main>{page}</main></noscript></body>"
    assert read_article(html).text.split("\n\n") == [f"{PROSE} {number}." for number in range(4)]

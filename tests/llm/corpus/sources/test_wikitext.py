"""From wiki markup to text: what a reader of the page would read, and time that stays linear."""

import pytest

from llm.corpus.sources import wikitext
from llm.corpus.sources.wikitext import strip
from tests.growth import work


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("'''Bold''' and ''slanted'' and '''''both'''''.", "Bold and slanted and both."),
        ("A [[link]], a [[bus]]es, [[page (thing)|its words]].", "A link, a buses, its words."),
        ("[[:Category:Shown|here]] and [[w:en:Page|there]]", "here and there"),
        ("see [[#History]] or [[Page#Part]]", "see History or Page Part"),
        ("gone[[Category:A|key]][[de:Seite]][[zh-min-nan:X]]", "gone"),
        ("[[File:a.png|thumb|A [[caption]] with {{templates}}.\n\nTwo paragraphs.]]Text", "Text"),
        ("[http://a.de its words] [https://b.de]x [//c.de w]", "its words x w"),
        ("array[1] and [not a link]", "array[1] and [not a link]"),
        ("a{{cite|{{inner|[[x]]}}|b=1}}c", "ac"),
        ("{{Infobox\n| name = A\n| b = {{x}}\n}}\nText", "Text"),
        ("{{Infobox\n| name = A\n|}}\nText", "Text"),
        ("It is {{convert|5|km|mi|abbr=on}} to {{lang|fr|la mer}}.", "It is 5 km to la mer."),
        ("{{convert|5|-|7|e6acre|km2}} and {{cvt|3}}", "5 - 7 million acre and 3"),
        ("{| class=x\n|-\n! head\n| {{t}}\n{|\n| nested\n|}\n|}\nAfter", "After"),
        ("a<ref>cite {{web}} [[x]]</ref>b<ref name=x/>c<REF name='y'>d</REF>e", "abce"),
        ("a<!-- hidden [[ -->b<!-- to the end", "ab"),
        ("<nowiki>[[as it is]] ''x''</nowiki>", "[[as it is]] ''x''"),
        ("<math>\\frac{{a}}{b}</math> is a formula", "$\\frac{{a}}{b}$ is a formula"),
        ("<gallery>\na.png|[[x]]\n</gallery>text", "text"),
        ("a<br />b <small>c</small> d &amp; e&nbsp;f 1 < 2 > 0", "a\nb c d & e f 1 < 2 > 0"),
        ("* one\n** two\n# three\n: four\n; five", "- one\n- two\n- three\nfour\nfive"),
        ("Intro\n== A ==\ntext\n=== B===\nmore", "Intro\n\nA\n\ntext\n\nB\n\nmore"),
        ("== Empty ==\n{{reflist}}\n== Full ==\n=== In ===\nx\n== Links ==", "Full\n\nIn\n\nx"),
        ("__NOTOC__a ({{lang-de|}}; born 1967) b ({{IPA}}), c", "a (born 1967) b, c"),
        ("''''four'''' a'b", "'four' a'b"),
        ("", ""),
    ],
)
def test_markup_becomes_what_a_reader_reads(markup: str, text: str) -> None:
    assert strip(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("a {{unclosed b", "a unclosed b"),
        ("a [[unclosed b\n\nnext [[link]]", "a unclosed b\n\nnext link"),
        ("a <ref>unclosed b", "a unclosed b"),
        ("a <math>unclosed b", "a unclosed b"),
        ("a }} b ]] c |} d", "a b c |} d"),
        ("{{a [[b}} c]] d", "c d"),
        ("[http://a.de no end\n\nnext", "http://a.de no end\n\nnext"),
    ],
)
def test_damaged_markup_costs_its_marks_only(markup: str, text: str) -> None:
    assert strip(markup) == text


def test_links_of_the_wikis_own_words_go() -> None:
    assert strip("a[[Datei:b.png|mini]][[Kategorie:C]]", ("datei", "kategorie")) == "a"


def test_no_markup_takes_more_than_linear_work() -> None:
    pieces = ["{{", "[[", "}}", "<ref>", "[[a|", "{|", "\n{|", "<math>", "<!--", "''", "<", "<a "]
    pieces += ["[http://", "( ", "(,", " ", ", ", "=", "\n\n", "[[\n\n", "[[File:", "'", "&", "]]"]
    for piece in pieces:
        for before, after in (("", ""), ("", "}}"), ("", "]]"), ("(", "x")):
            small, large = (
                work(strip, before + piece * size + after * size, (wikitext,)) for size in (25, 100)
            )
            # 4 times the markup; a quadratic pass would do 16 times the work.
            assert large <= 6 * small, (before, piece, after)

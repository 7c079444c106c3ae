"""Cleaning as a whole: its section of the recipe, and the built-in site, whose text is known."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from pydantic import TypeAdapter, ValidationError

from llm.corpus.clean import CleanSettings
from llm.corpus.decide import DecideAll, decide
from llm.corpus.dedup import DedupSettings, NearSettings
from llm.corpus.extract import ExtractShard, extract
from llm.corpus.filters import FilterSettings
from llm.corpus.presets.gopher_quality import GopherQuality
from llm.corpus.signals import SignalSettings, measure
from llm.corpus.site.content import Site
from llm.corpus.site.documentation import SITE, Class, Function, read, standard_library, topics
from llm.corpus.write import WriteShard, write
from tests.llm.corpus.cleaning import Cleaned
from tests.llm.corpus.crawls import make_crawl

# As the demo has it: much of documentation is punctuation.
DOCUMENTATION = FilterSettings(gopher_quality=GopherQuality(min_letter_words=0.6))


def validated(values: dict) -> CleanSettings:
    return TypeAdapter(CleanSettings).validate_python(values)


def test_a_recipe_in_full_is_valid() -> None:
    settings = validated(
        {
            "filters": {"presets": ["gopher_quality", "gopher_repetition"]},
            "dedup": {"exact": "document", "near": {"similarity": 0.8}},
            "pii": ["email", "ip"],
        }
    )
    assert settings == CleanSettings()
    assert settings.dedup.near == NearSettings(similarity=0.8)
    assert validated({"dedup": {"near": None}, "pii": []}).dedup.near is None
    assert validated({"filters": {"languages": ["en"]}}).filters == FilterSettings(
        languages=("en",)
    )


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"pii": ["fax"]}, "pii"),
        ({"dedup": {"near": {"similarity": 1.2}}}, "similarity"),
        ({"dedup": {"exact": "line"}}, "exact"),
        ({"extract": {"engine": "lynx"}}, "engine"),
        ({"filter": {}}, "filter"),
    ],
)
def test_a_bad_field_is_named(values: dict, field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        validated(values)


@pytest.fixture(scope="module")
def site() -> Site:
    return Site(standard_library(), topics())


@pytest.fixture(scope="module")
def cleaned(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Cleaned:
    """The built-in site, cleaned as the demo does it."""
    root = tmp_path_factory.mktemp("site")
    paths = [*site.indexes, *site.sources, *site.topics, *site.printed, *site.mirrored]
    pages = [(SITE + path, site.respond(path)) for path in paths]
    crawl = make_crawl(
        root / "crawl", [(url, page.body) for url, page in pages if page.status == 200]
    )
    done = Cleaned(root, ["docs"])
    document = done.step(
        "extract-docs", extract, ExtractShard(source="docs", part="00000"), {"pages": [crawl]}
    )
    signals = done.step("signals-docs", measure, SignalSettings(), {"documents": [document]})
    duplicates = done.duplicates("duplicates", [document], DedupSettings())
    inputs = {"documents": [document], "signals": [signals], "duplicates": [duplicates]}
    decided = done.step(
        "decide", decide, DecideAll(shards=("docs",), filters=DOCUMENTATION), inputs
    )
    inputs = {"documents": [document], "decisions": [decided]}
    done.step("write-docs", write, WriteShard(shard="docs"), inputs)
    return done


def test_most_of_the_documentation_survives_the_filters(cleaned: Cleaned) -> None:
    first, *_, last = cleaned.funnel()["rows"]
    assert first["documents"] >= 500
    assert last["bytes"] >= 1_300_000
    assert last["bytes"] / first["bytes"] > 0.6
    assert cleaned.results["extract-docs"].counts["dropped"] == {}


def test_copies_of_a_page_are_found_and_one_stays(site: Site, cleaned: Cleaned) -> None:
    decisions = cleaned.decisions()
    copies = {**site.printed, **site.mirrored}
    pairs = [
        (SITE + copy, SITE + path) for copy, path in copies.items() if SITE + copy in decisions
    ]
    assert len(pairs) >= 20
    for copy, original in pairs:
        reasons = {decisions[copy]["reason"], decisions[original]["reason"]}
        assert reasons != {"kept"}
        if "kept" in reasons:
            assert decisions[original]["reason"] == "kept"  # the shorter address stays
            assert decisions[copy]["reason"].endswith("_duplicate")
            assert decisions[copy]["duplicate_of"] == decisions[original]["doc_id"]
        assert decisions[copy]["split_key"] == decisions[original]["split_key"]


def test_the_text_of_pages_is_what_their_authors_wrote(site: Site, cleaned: Cleaned) -> None:
    scores, noise = [], 0
    documents = cleaned.documents()
    for path, source in site.sources.items():
        module = read(source)
        if SITE + path not in documents or module is None:
            continue
        written = " ".join(
            [module.name, module.doc, *_texts(module.functions), *_texts(module.classes)]
        )
        text = documents[SITE + path]["text"]
        scores.append(f1(written, text))
        noise += sum(piece in text for piece in ("About this site", "Back to top", "Search\n"))
    assert len(scores) >= 300
    assert sum(scores) / len(scores) >= 0.97
    assert noise == 0


def _texts(items: tuple[Function, ...] | tuple[Class, ...]) -> Iterator[str]:
    for item in items:
        if isinstance(item, Class):
            yield " ".join([item.name, *item.bases, item.doc, *_texts(item.methods)])
        else:
            yield f"{item.signature} {item.doc}"


def f1(a: str, b: str) -> float:
    one, two = (Counter(re.findall(r"\w+", text)) for text in (a, b))
    return 2 * sum((one & two).values()) / max(1, one.total() + two.total())

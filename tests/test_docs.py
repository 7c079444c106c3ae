"""The pages: links lead somewhere, and recipes that are shown whole can be loaded."""

import re
from pathlib import Path

import pytest

from llm.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
RECIPE = re.compile(r"```yaml\n(# \S+\.yaml\b.*?\nextends:.*?)```", re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What links may name on a page: its headings, as GitHub spells them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text("utf8")):
        target = (page.parent / path) if path else page
        assert target.exists(), f"{page.name} links to {path}"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {path}#{anchor}"


def shown() -> list[tuple[str, str]]:
    """Each recipe that a page shows whole, with the page's name."""
    return [(page.name, text) for page in PAGES for text in RECIPE.findall(page.read_text("utf8"))]


def test_recipes_are_shown() -> None:
    assert len(shown()) >= 4


@pytest.mark.parametrize(("page", "text"), shown())
def test_a_recipe_that_a_page_shows_can_be_loaded(page: str, text: str, tmp_path: Path) -> None:
    text = text.replace("extends: recipes/base.yaml", "extends: base")
    text = text.replace("extends: demo.yaml", "extends: demo")
    for name in ("notes/a.jsonl.zst", "archive/a.jsonl.zst", "crawls/a.warc.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("conversations.jsonl", "tickets.jsonl", "sentences.jsonl"):
        (tmp_path / name).touch()
    for _, other in shown():  # a recipe may extend another of its page
        (tmp_path / other.split()[1]).write_text(other)
    path = tmp_path / "shown.yaml"
    path.write_text(text)
    stages = ("crawl", "clean", "tokenizer", "tokenize", "pretrain")
    assert load_recipe(str(path), stages=stages).name

"""A recipe is validated before anything runs; what is wrong is named with what is allowed."""

from pathlib import Path

import pytest

from llm.fingerprint import plain
from llm.located import found as files
from llm.recipe import RECIPES, STAGES, RecipeError, fields, load_machine, load_recipe

# Files that `make` writes before the recipe of this name runs.
MADE = {
    "tatoeba": [".penstock/tatoeba/train.tsv", ".penstock/tatoeba/test.tsv"],
    "intents": [
        f".penstock/texts/{name}-{split}.csv"
        for name in ("banking77", "mr", "subj")
        for split in ("train", "test")
    ],
}


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_that_we_ship_is_valid(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in MADE.get(path.stem, []):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("Go.\tGeh.\n")
    assert load_recipe(str(path)).name == path.stem


def test_stages_are_in_the_order_of_the_pipeline() -> None:
    assert STAGES == (
        "crawl", "clean", "tokenizer", "tokenize", "pretrain", "finetune", "evaluate", "promote",
    )  # fmt: skip


def test_overrides_reach_into_sections_and_lists() -> None:
    recipe = load_recipe("demo", ["pretrain.tokens=6_000_000", "pretrain.schedule.peak_lr=2e-3"])
    assert recipe.pretrain.tokens == 6_000_000
    assert recipe.pretrain.schedule.peak_lr == 0.002, "YAML 1.2: 2e-3 is a number"
    assert load_recipe("demo", ["finetune.0.name=other"]).finetune[0].name == "other"
    assert load_recipe("demo", ["finetune=[]"]).finetune == ()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("pretrain.token=5", "pretrain.token: no such field: did you mean tokens?"),
        (
            "pretrain.tokens=0",
            "pretrain.tokens: must be a whole number above 0, not 0 (--set pretrain.tokens)",
        ),
        ("pretrain.tokens=many", "pretrain.tokens"),
        ("cleann=1", "cleann: no such field: did you mean clean?"),
        (
            "clean.gopher.min_words=30",
            "clean.gopher: no such field: did you mean clean.filters.gopher_quality.min_words?",
        ),
        ("crawl.max_pages=3", "did you mean crawl.sources.<name>.max_pages or crawl."),
        ("pretrain.peak_lr=3", "did you mean pretrain.schedule.peak_lr?"),
        ("clean.nothing=3", "clean.nothing: no such field; known are consent, "),
        ("crawl.sources.docs.type=ftp", "'ftp'"),
        ("tokenize.validation.fraction=1.5", "tokenize.validation.fraction"),
        ("pretrain.model.kv_heads=5", "5"),
        ("pretrain.tokens", "write section.field=value"),
        ("finetune.3.name=x", "'3' is not one of"),
        ("pretrain.tokens.deep=1", "single value"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(override: str, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe("demo", [override])
    assert said in str(error.value)


def test_a_recipe_extends_another(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text((RECIPES / "demo.yaml").read_text())
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\nname: mine\npretrain: {tokens: 5}\n")
    recipe = load_recipe(str(tmp_path / "mine.yaml"))
    assert recipe.name == "mine"
    assert recipe.pretrain.tokens == 5
    assert recipe.pretrain.model == load_recipe("demo").pretrain.model


def test_a_source_of_the_recipe_below_is_left_out_with_null() -> None:
    mine = "crawl.sources.mine={type: files, path: mine.txt}"
    rest = ["finetune=[]", "promote.metric=perplexity.base.bits_per_byte"]
    recipe = load_recipe("demo", [mine, "crawl.sources.docs=null", *rest])
    assert set(recipe.crawl.sources) == {"mine"}


def test_a_source_of_another_type_takes_the_place_of_the_one_below(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"extends: {RECIPES}/demo.yaml\nname: mine\nfinetune: []\n"
        "crawl: {sources: {docs: {type: files, path: a.txt}}}\n"
    )
    assert load_recipe(str(path)).crawl.sources["docs"].type == "files"


def test_the_plain_recipe_has_no_source_and_no_questions_of_ours(tmp_path: Path) -> None:
    base = load_recipe("base")
    assert (base.crawl.sources, base.finetune) == ({}, ())
    path = tmp_path / "mine.yaml"
    path.write_text("extends: base\nname: mine\ncrawl: {sources: {a: {type: files, path: a}}}\n")
    recipe = load_recipe(str(path))
    assert recipe.pretrain == base.pretrain
    assert recipe.finetune == ()


@pytest.mark.parametrize(
    "metric", ["perplexity.base.bits_per_byte.docs", "perplexity.base.bits_per_byte"]
)
def test_other_sources_are_not_fine_tuned_on_python_s_documentation(
    metric: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"extends: {RECIPES}/demo.yaml\nname: mine\npromote: {{metric: {metric}}}\n"
        "crawl: {sources: {docs: {type: files, path: a.txt}}}\n"
    )
    with pytest.raises(RecipeError, match=r"finetune\.0\.data .*recipes/base\.yaml"):
        load_recipe(str(path))


MINE = """\
name: mine
crawl:
  sources:
    site:
      type: web
      seeds: [https://example.org/]
    2024: {type: files, path: a.txt, text: on, url: null}
"""
WRONG = [
    ("pretrain: {tokens: many}", "pretrain.tokens: must be a whole number above 0, not 'many' ("),
    ("pretrain: {tokens: 1.5}", "pretrain.tokens: must be a whole number above 0, not 1.5"),
    ("pretrain: {tokens: true}", "pretrain.tokens: must be a whole number above 0, not true"),
    ("pretrain: {tokens: }", "pretrain.tokens: must be a whole number above 0, not null"),
    ("pretrain: {clip: x}", "pretrain.clip: must be a number above 0 or null, not 'x'"),
    ("pretrain: {clip: .nan}", "pretrain.clip: must be a number above 0 or null, not .nan"),
    ("pretrain: 5", "pretrain: must be a section with model, objective, tokens, mix, "),
    ("pretrain: {model: {preset: qwen4}}", "llama-1b: did you mean qwen3?"),
    ("pretrain: {optimizer: {betas: [1]}}", "pretrain.optimizer.betas: must be a list of 2 numbers"),
    ("crawl: {sources: {site: {max_page: 3}}}", "crawl.sources.site.max_page: no such field: did you"),
    ("crawl: {sources: {site: {max_pages: x}}}", "crawl.sources.site.max_pages: must be a whole number"),
    ("crawl: {sources: {site: {follow_links: maybe}}}", "must be true or false, not 'maybe'"),
    ("crawl: {sources: {site: {seeds: https://a.org}}}", "must be a list of text, such as [a, b], not "),
    ("crawl: {sources: {other: {path: a}}}", "crawl.sources.other.type: is missing: choose files, "),
    ("crawl: {sources: {other: {type: file}}}", "not 'file': did you mean files?"),
    ("crawl: {sources: {other: {type: files}}}", "crawl.sources.other.path: is missing: a file, a folder"),
    ("clean: {pii: [mail]}", "clean.pii.0: must be email, ip, phone, credit_card, iban or secret, not"),
    ("clean: {pii: email}", "clean.pii: must be a list with any of email, ip, phone, "),
    ("evaluate: {baselines: [ngram]}", "not 'ngram': did you mean ngram5?"),
    ("finetune: {name: a}", "finetune: must be a list of sections, not a section"),
    ("finetune: [{data: a.jsonl}]", "finetune.0.name: is missing: name of the tuned model"),
    ("promote: {confidence: 95}", "promote.confidence: must be a number from 0.5 to below 1, not 95"),
    ("name: My Recipe", "name: 'My Recipe' is not allowed. Name of the recipe: lowercase letters"),
    ("snapshot: a/b", "snapshot: 'a/b' is not allowed. Which crawl to work on (letters, digits, dots"),
    ("crawl: {sources: {a: files}}", "crawl.sources.a: must be a section whose type is files, hook, "),
    ("crawl: {sources: {a b: {type: files, path: a}}}", "crawl.sources: the name 'a b' may hold letters"),
    ("crawl: {sources: {a: {type: files, path: ''}}}", "crawl.sources.a.path: must not be empty"),
    ("clean: ~", "clean: must be a section with extract, signals, "),
    ("polcy: {}", "polcy: no such field: did you mean policy?"),
    ("tokenizer: {type: wordpiece, lowercase: 1, vocabulary: 2}", "tokenizer.vocabulary: must be a whole"),
    ("pretrain: {model: {kv_heads: 5}}", "pretrain.model: kv_heads 5 does not divide heads 4; allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_is_wrong_is_said_plainly_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: below.yaml\n# mine\n" + text + "\n")
    (tmp_path / "below.yaml").write_text(MINE)
    with pytest.raises(RecipeError) as error:
        load_recipe(str(path))
    message = str(error.value)
    assert said in message
    assert f"({path}, line 3)" in message
    for word in ("Input should", "unable to", ".web.", ".files.", "Literal", "keyword"):
        assert word not in message


def test_words_are_read_as_their_field_asks(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        MINE
        + "snapshot: 2026-01-02\nclean: {filters: {languages: [no]}, consent: {respect: [on, no]}}\n"
    )
    recipe = load_recipe(str(path), ["pretrain.tokens=1_000_000"])
    assert recipe.snapshot == "2026-01-02"
    assert recipe.crawl.sources["2024"].text == "on"
    assert recipe.crawl.sources["2024"].url is None
    assert recipe.clean.filters.languages == ("no",)
    assert recipe.clean.consent.respect == ("on", "no")
    assert recipe.pretrain.tokens == 1_000_000


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("snapshot=2026-01-02", "snapshot", "2026-01-02"),
        ("snapshot=2024", "snapshot", "2024"),
        ("snapshot=0o17", "snapshot", "0o17"),
        ("snapshot=1e3", "snapshot", "1e3"),
        ("snapshot=no", "snapshot", "no"),
        ("snapshot='a'", "snapshot", "a"),
        ("snapshot=null", "snapshot", None),
        ("snapshot=", "snapshot", None),
        ("name=007", "name", "007"),
        ("pretrain.tokens=0o17", "pretrain.tokens", 15),
        ("pretrain.tokens=017", "pretrain.tokens", 17),
        ("pretrain.tokens=0x10", "pretrain.tokens", 16),
        ("pretrain.tokens=1e3", "pretrain.tokens", 1000),
        ("pretrain.clip=~", "pretrain.clip", None),
        ("pretrain.document_mask=true", "pretrain.document_mask", True),
        ("clean.signals.quality_label=true", "clean.signals.quality_label", "true"),
        ("clean.signals.quality_label=a: b # c", "clean.signals.quality_label", "a: b # c"),
        ("evaluate.samples.prompts=[on, 1e3, 2024-01-01]", "evaluate.samples.prompts",
         ("on", "1e3", "2024-01-01")),
    ],
)  # fmt: skip
def test_an_override_is_read_as_its_field_asks(override: str, field: str, value: object) -> None:
    found: object = load_recipe("demo", [override])
    for name in field.split("."):
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


def test_numbers_may_be_names() -> None:
    sets = "clean.decontaminate.sets={2024: {path: pyproject.toml}}"
    mine = "crawl.sources={1e3: {type: files, path: a}, docs: {type: web, seeds: ['builtin:python-docs']}}"
    recipe = load_recipe("demo", [mine, sets, "pretrain.mix={1e3: 2}"])
    assert list(recipe.crawl.sources) == ["1e3", "docs"]
    assert recipe.pretrain.mix == {"1e3": 2.0}
    assert list(recipe.clean.decontaminate.sets) == ["2024"]


def test_relative_paths_count_from_the_recipe_that_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever folder one is in; and a recipe named by a relative path is the same recipe."""
    below, mine = tmp_path / "below[1]", tmp_path / "mine"
    for folder in (below, mine):
        folder.mkdir()
        (folder / "talk.jsonl").write_text("{}")
    (below / "below.yaml").write_text(MINE + "finetune: [{name: ask, data: '*.jsonl'}]\n")
    (mine / "mine.yaml").write_text(
        "extends: ../below[1]/below.yaml\ncrawl: {sources: {own: {type: files, path: a/*.txt}}}\n"
    )
    from_afar = load_recipe(str(mine / "mine.yaml"))
    monkeypatch.chdir(mine)
    beside = load_recipe("mine.yaml")
    assert beside == from_afar
    assert files(from_afar.finetune[0].data) == [below / "talk.jsonl"]
    assert Path(from_afar.crawl.sources["own"].path) == mine / "a/*.txt"
    assert plain(from_afar.crawl.sources["own"])["path"] == "a/*.txt"
    (mine / "mine.yaml").write_text(
        "extends: ../below[1]/below.yaml\n"
        f"crawl: {{sources: {{own: {{type: files, path: {mine}/a/*.txt}}}}}}\n"
    )
    assert load_recipe("mine.yaml") == beside, "an absolute path to the same files"
    with pytest.raises(RecipeError, match=r"'\*\.json' \(looked in .*mine\)"):
        load_recipe("mine.yaml", ["finetune.0.data=*.json"])


def test_paths_of_our_recipes_and_of_overrides_count_from_the_current_folder() -> None:
    recipe = load_recipe("demo", ["tokenizer.import=some/folder"])
    assert recipe.tokenizer.imported == "some/folder"


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("https://me:sesam@example.org/", "user name or password"),
        ("https://me@example.org/", "user name or password"),
        ("https://example.org/a?X-Amz-Signature=sesam&X-Amz-Date=1", "X-Amz-Signature"),
        ("https://example.org/a?sv=2024&sig=sesam", "sig"),
        ("https://example.org/a?access_token=sesam", "access_token"),
        ("https://example.org/a?private_token=sesam", "private_token"),
        ("https://example.org/a#auth=sesam", "auth"),
    ],
)
@pytest.mark.parametrize(
    "source",
    [
        "{type: web, seeds: ['%s']}",
        "{type: warc, path: '%s'}",
        "{type: warc, list: 'https://example.org/list', base: '%s'}",
        "{type: warc, list: '%s', base: 'https://example.org/'}",
    ],
)
def test_a_login_in_an_address_is_refused_and_not_told(
    address: str, word: str, source: str
) -> None:
    override = f"crawl.sources.mine={source % address}"
    with pytest.raises(RecipeError) as error:
        load_recipe("demo", [override])
    message = str(error.value)
    assert word in message
    assert "env:" in message
    assert "sesam" not in message


@pytest.mark.parametrize(
    ("seed", "said"),
    [
        ("example.org", "is not a web address"),
        ("https://exa mple.org/", "is not a web address"),
        ("https://-.example..org/", "is not a web address"),
        (f"https://{'a' * 64}.org/", "is not a web address"),
        ("ftp://example.org/", "is not a web address"),
        ("builtin:python-doc", "there are builtin:python-docs and"),
    ],
)
def test_a_seed_that_is_no_address_is_refused(seed: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe("demo", [f"crawl.sources.mine={{type: web, seeds: ['{seed}']}}"])


def test_what_is_no_recipe_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="one of demo, docs"):
        load_recipe("no-such-recipe")
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: [1\n")
    with pytest.raises(RecipeError, match="no valid YAML"):
        load_recipe(str(bad))
    bad.write_text("- 1\n")
    with pytest.raises(RecipeError, match="must hold a mapping"):
        load_recipe(str(bad))
    bad.write_text("extends: bad.yaml\n")
    with pytest.raises(RecipeError, match="extends itself"):
        load_recipe(str(bad))


def test_every_field_is_described() -> None:
    listed = list(fields())
    assert len(listed) > 60
    assert [
        field.path for field in listed if not field.description and not _is_section(field.path)
    ] == []


def _is_section(path: str) -> bool:
    return any(field.path.startswith(f"{path}.") for field in fields())


def test_the_machine_file_is_validated_too(tmp_path: Path) -> None:
    path = tmp_path / "machine.yaml"
    assert load_machine(path).workers == 2
    path.write_text("workers: 3\nhosts: {docs.example.org: '127.0.0.1:8000'}\n")
    assert load_machine(path, ["device=cpu"]).workers == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("workers: 0", "workers: must be a whole number of at least 1, not 0"),
        ("wokers: 4", "wokers: no such field: did you mean workers?"),
        ("pretrain: {}", "known are compile, device, hosts, "),
        ("device: tpu", "device: must be auto, cpu or cuda, not 'tpu'"),
        ("device: gpu", "device: must be auto, cpu or cuda"),
        ("sinks: [tensorbord]", "did you mean tensorboard?"),
        (
            "hosts: {a.org: 'http://127.0.0.1'}",
            "hosts.a.org is 'http://127.0.0.1': write host:port",
        ),
        ("- 1", "must hold a mapping"),
    ],
)
def test_what_is_wrong_with_a_machine_is_said_in_its_own_words(
    text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "machine.yaml"
    path.write_text(text + "\n")
    with pytest.raises(RecipeError) as error:
        load_machine(path)
    assert said in str(error.value)
    if not text.startswith("-"):
        assert "line 1" in str(error.value)
        with pytest.raises(RecipeError, match=r"--set machine\."):
            load_machine(tmp_path / "none.yaml", [text.replace(": ", "=", 1)])


def test_a_mix_of_sources_that_are_not_crawled_is_told_before_anything_runs() -> None:
    with pytest.raises(RecipeError, match=r"no source 'nope' in crawl\.sources; there are: \w+"):
        load_recipe("demo", ["pretrain.mix={nope: 2}"])

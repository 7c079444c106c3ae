"""A recipe is validated before anything runs; what is wrong is named with what is allowed."""

from pathlib import Path

import pytest

from llm.recipe import RECIPES, STAGES, RecipeError, fields, load_machine, load_recipe


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_that_we_ship_is_valid(path: Path) -> None:
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
        ("pretrain.tokens=0", "pretrain.tokens: Input should be greater than 0, not 0"),
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
    recipe = load_recipe("demo", [mine, "crawl.sources.docs=null"])
    assert set(recipe.crawl.sources) == {"mine"}


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
    path.write_text("workers: 0\n")
    with pytest.raises(RecipeError, match="workers"):
        load_machine(path)
    path.write_text("workers: 3\n")
    assert load_machine(path, ["device=cpu"]).workers == 3


def test_a_mix_of_sources_that_are_not_crawled_is_told_before_anything_runs() -> None:
    with pytest.raises(RecipeError, match=r"no source 'nope' in crawl\.sources; there are: \w+"):
        load_recipe("demo", ["pretrain.mix={nope: 2}"])

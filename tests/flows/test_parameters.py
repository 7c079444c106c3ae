"""What a run that the UI or a schedule starts may override, and what only files say."""

from pathlib import Path

import pytest
from prefect import Flow
from prefect.utilities.callables import parameter_schema
from ruamel.yaml import YAML

from flows import ladder, pipeline, stages
from flows.parameters import check_machine, check_overrides
from llm.recipe import STAGES, RecipeError, load_recipe
from tasks.engine.home import PROJECT

OWN = """
name: mine
crawl:
  sources:
    site: {type: web, seeds: ["https://site.example/"], headers: {Authorization: "env:SITE_TOKEN"}}
    open: {type: web, seeds: ["https://open.example/"]}
    made: {type: hook, function: "my_texts:read"}
clean:
  hooks:
    mine: {function: "my_filters:is_good"}
"""


def check(tmp_path: Path, *overrides: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    check_overrides(load_recipe(str(path)), load_recipe(str(path), overrides))


@pytest.mark.parametrize(
    "override",
    [
        "pretrain.tokens=1000000",
        "crawl.sources.open.max_pages=10",
        "crawl.sources.site=null",
        "clean.hooks={}",
        "finetune=[]",
    ],
)
def test_numbers_and_choices_may_be_overridden(tmp_path: Path, override: str) -> None:
    check(tmp_path, override)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("clean.hooks.mine.function=other:name", "clean.hooks.mine"),
        ("clean.hooks.more={function: 'other:name'}", "clean.hooks.more"),
        ("crawl.sources.made.function=other:name", "crawl.sources.made"),
        ("crawl.sources.made.options={path: elsewhere}", "crawl.sources.made"),
        ("crawl.sources.more={type: hook, function: 'other:name'}", "crawl.sources.more"),
        ("crawl.sources.open.headers={Cookie: 'env:OTHER'}", "crawl.sources.open"),
        ("crawl.sources.site.headers={Cookie: 'Bearer env:OTHER'}", "crawl.sources.site"),
        ("crawl.sources.site.seeds=['https://other.example/']", "crawl.sources.site"),
    ],
)
def test_hooks_and_secrets_come_from_the_file(tmp_path: Path, override: str, named: str) -> None:
    with pytest.raises(RecipeError, match=named.replace(".", r"\.") + " has a hook or an env"):
        check(tmp_path, override)


def test_stand_ins_for_hosts_come_from_the_machine_file(tmp_path: Path) -> None:
    check_machine(tmp_path / "machine.yaml", ["workers=3"])
    with pytest.raises(RecipeError, match="cannot override hosts"):
        check_machine(tmp_path / "machine.yaml", ["hosts={site.example: 'other.example:80'}"])


@pytest.mark.parametrize("flow", [pipeline.pipeline, stages.crawl, ladder.ladder])
def test_each_field_of_the_form_has_one_type_and_a_description(flow: Flow) -> None:
    form = parameter_schema(flow.fn).properties
    assert {"recipe", "overrides", "machine"} <= form.keys()
    assert not {"run", "after"} & form.keys(), "only the pipeline sets these"
    for name, field in form.items():
        assert isinstance(field.get("type"), str), f"{name} has a type: {field}"
        assert field["description"].endswith("."), name


def test_stages_are_chosen_from_a_list() -> None:
    form = parameter_schema(pipeline.pipeline.fn).properties
    for name in ("from_stage", "until", "only"):
        assert form[name]["enum"] == list(STAGES)
    for name in ("force", "keep"):
        assert form[name]["items"]["enum"] == list(STAGES)
    assert pipeline.pipeline.validate_parameters({"until": None, "force": None}) is not None


def test_deployments_are_in_the_order_in_which_the_ui_sorts_them() -> None:
    deployments = YAML(typ="safe").load(PROJECT / "prefect.yaml")["deployments"]
    names = [item["name"] for item in deployments]
    assert names == sorted(set(names))
    assert names[0] == "nightly"
    assert [name for name in names if name.startswith("stage-")] == [
        f"stage-{number}-{stage}" for number, stage in enumerate(STAGES, 1)
    ]

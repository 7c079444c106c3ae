"""What a run needs from outside is asked for before anything of it is made."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.planning import make_plan
from llm.corpus.web import names
from llm.machine import Machine
from llm.recipe import load_machine, load_recipe
from llm.step import BadInput
from tasks.engine import ready
from tasks.engine.home import Home

WIKI = "wiki: {type: files, path: wiki.txt}"


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Plan a recipe with these sources and sections, from a folder that is not the recipe's."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (project, elsewhere):
        folder.mkdir()
    (project / "wiki.txt").write_text("text\n")
    (project / "talk.jsonl").write_text('{"prompt": "a", "response": "b"}\n')
    (project / "lone_functions.py").write_text(
        "import missing_package_of_theirs\n\n\ndef good(texts, urls):\n    return texts\n"
    )
    (project / "own_functions.py").write_text(
        "def good(texts, urls):\n    return [1 for _ in texts]\n\n\n"
        "def bad(texts):\n    return texts\n\n\n"
        "def letters(paths, sender=''):\n    yield {}\n"
    )
    monkeypatch.chdir(elsewhere)

    def made(sources: str, sections: str = "", machine: tuple[str, ...] = ()) -> object:
        path = project / "mine.yaml"
        path.write_text(f"name: mine\ncrawl: {{sources: {{{WIKI}, {sources}}}}}\n{sections}\n")
        return make_plan(
            Home(tmp_path / "home"), str(path), [], "one", None, None, None, [], [], machine
        )

    return made


UNREADY = [
    ("no: {type: files, path: 'none/*.txt'}", "", ("crawl.sources.no", "'none/*.txt'", "project")),
    ("no: {type: warc, path: 'none.warc.gz'}", "", ("'none.warc.gz'", "project")),
    ("no: {type: hub, dataset: ./none}", "", ("crawl.sources.no", "'none'", "project")),
    ("no: {type: hook, function: 'none:f'}", "", ("the hook none:f needs a file none.py", "project")),
    ("no: {type: hook, function: 'lone_functions:good'}", "",
     ("crawl.sources.no.function", "lone_functions.py:1", "missing_package_of_theirs")),
    ("no: {type: hook, function: 'own_functions:none'}", "", ("no function 'none'", "letters")),
    ("no: {type: hook, function: 'own_functions:letters', path: '*.txt', options: {from: x}}", "",
     ("crawl.sources.no.function", "letters(paths, sender='')", "'from'")),
    ("no: {type: web, seeds: ['https://nowhere.invalid/a']}", "",
     ("crawl.sources.no.seeds", "nowhere.invalid", "does not resolve")),
    ("no: {type: web, seeds: ['https://known.example/'], headers: {X-Key: 'env:PENSTOCK_TEST_NONE'}}", "",
     ("crawl.sources.no.headers", "PENSTOCK_TEST_NONE is not set")),
    ("no: {type: warc, path: 'https://known.example/a.warc.gz', headers: {X-Key: 'env:PENSTOCK_TEST_NONE'}}",
     "", ("crawl.sources.no.headers", "PENSTOCK_TEST_NONE is not set")),
    (WIKI, "clean: {hooks: {mine: {function: 'own_functions:bad'}}}",
     ("clean.hooks.mine.function", "bad(texts)")),
    (WIKI, "clean: {hooks: {mine: {function: 'lone_functions:good'}}}",
     ("clean.hooks.mine.function", "missing_package_of_theirs")),
    (WIKI, "clean: {decontaminate: {sets: {quiz: {path: talk.jsonl}}}}",
     ("clean.decontaminate.sets", "talk.jsonl", "`fields`")),
    (WIKI, "clean: {decontaminate: {sets: {quiz: {path: talk.jsonl, fields: [query]}}}}",
     ("no field 'query'", "prompt, response")),
    (WIKI, "finetune: [{name: ask, data: wiki.txt}]", ("finetune.0.data", "wiki.txt, line 1")),
    (WIKI, "tokenizer: {import: none}", ("tokenizer.import", "none")),
]  # fmt: skip


@pytest.fixture(autouse=True)
def name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Knows names that end in .example, and no others."""

    def look_up(host: str, *rest: object, **named: object) -> list[object]:
        if host.endswith(".example"):
            return []
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(names.socket, "getaddrinfo", look_up)


@pytest.mark.parametrize(("sources", "sections", "words"), UNREADY)
def test_what_is_missing_is_told_by_a_plan(
    sources: str, sections: str, words: tuple[str, ...], plan: Callable[..., object]
) -> None:
    named = sources if sources != WIKI else "other: {type: files, path: wiki.txt}"
    with pytest.raises(BadInput) as error:
        plan(named, sections)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("sources", "sections"),
    [
        ("ok: {type: files, path: '*.txt'}", ""),
        ("ok: {type: hook, function: 'own_functions:letters', path: '*.txt', options: {sender: x}}", ""),
        ("ok: {type: web, seeds: ['https://known.example/', 'https://nowhere.invalid/']}", ""),
        ("ok: {type: web, seeds: ['https://known.example/'], headers: {X-Key: 'env:PATH'}}", ""),
        ("ok: {type: files, path: wiki.txt}", "clean: {hooks: {mine: {function: 'own_functions:good'}}}"),
        ("ok: {type: files, path: wiki.txt}",
         "clean: {decontaminate: {sets: {quiz: {path: talk.jsonl, fields: [prompt]}}}}"),
        ("ok: {type: files, path: wiki.txt}", "finetune: [{name: ask, data: talk.jsonl}]"),
    ],
)  # fmt: skip
def test_its_valid_neighbours_are_planned(
    sources: str, sections: str, plan: Callable[..., object]
) -> None:
    assert plan(sources, sections)


def test_a_host_that_the_machine_sends_elsewhere_is_not_looked_up(
    plan: Callable[..., object],
) -> None:
    sources = "ok: {type: web, seeds: ['https://docs.invalid/', 'http://docs.invalid:8000/']}"
    assert plan(sources, machine=("hosts={docs.invalid: '127.0.0.1:8000'}",))


def test_a_name_server_that_does_not_answer_says_nothing(
    plan: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*given: object, **named: object) -> list[object]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(names.socket, "getaddrinfo", silent)
    assert plan("ok: {type: web, seeds: ['https://elsewhere.org/']}")


def test_a_recipe_without_a_source_is_not_run() -> None:
    with pytest.raises(BadInput, match=r"crawl\.sources: the recipe base names no source"):
        ready.check(load_recipe("base"), Machine(), ("crawl",))


def test_best_weights_need_whole_ones(tmp_path: Path) -> None:
    fsdp = load_machine(tmp_path / "none.yaml", ["parallelism=fsdp"])
    stopping = "finetune.0.early_stopping={patience: 2}"
    with pytest.raises(BadInput, match=r"finetune\.0\.early_stopping .*machine\.parallelism fsdp"):
        ready.check(load_recipe("demo", [stopping]), fsdp, ("finetune",))
    ready.check(load_recipe("demo"), fsdp, ("finetune",))


def test_an_optimizer_that_the_machine_cannot_have_is_told(tmp_path: Path) -> None:
    recipe = load_recipe("demo", ["pretrain.optimizer.type=muon"])
    fsdp = load_machine(tmp_path / "none.yaml", ["parallelism=fsdp"])
    with pytest.raises(
        BadInput, match=r"pretrain\.optimizer\.type muon .*machine\.parallelism fsdp"
    ):
        ready.check(recipe, fsdp, ("pretrain",))
    ready.check(recipe, Machine(), ("pretrain",))
    ready.check(recipe, fsdp, ("crawl", "clean"))


def test_a_model_of_another_shape_to_start_from_is_told(tmp_path: Path) -> None:
    fields = {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 64, "vocab_size": 300}
    fields |= {"n_positions": 64, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    small = ["pretrain.model={preset: gpt2, layers: 3, d_model: 64, heads: 2, context_length: 64}"]
    recipe = load_recipe("demo", [*small, f"pretrain.init={tmp_path}"])
    with pytest.raises(BadInput, match=r"pretrain\.init: .* has layers 2, .* makes it 3"):
        ready.check(recipe, Machine(), ("pretrain",))


@pytest.mark.parametrize(
    ("reserve", "vocabulary", "fits"),
    [
        ("[]", {"a": 0}, False),
        ("[chat]", {"a": 0}, True),
        ("[]", {"<|im_start|>": 0, "<|im_end|>": 1}, True),
        ("[]", {"<|im_start|>": 0}, False),
    ],
)
def test_tokens_that_an_imported_tokenizer_lacks_are_told(
    reserve: str, vocabulary: dict[str, int], fits: bool, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"model": {"vocab": vocabulary}}))
    recipe = load_recipe("demo", [f"tokenizer.import={path}", f"tokenizer.reserve={reserve}"])
    stages = ("tokenizer",)
    if fits:
        ready.check(recipe, Machine(), stages)
    else:
        with pytest.raises(
            BadInput, match=r"tokenizer\.reserve: finetune ask-docs needs .*: add chat"
        ):
            ready.check(recipe, Machine(), stages)

"""What a run left, asked about limits that it did not have."""

import json
from pathlib import Path

import pytest

from llm.corpus.inspection.whatif import whatif
from llm.step import BadInput, Reporter
from tasks.commands.corpus import corpus_of, decide_values, find_run, with_changes
from tasks.commands.local import run_locally
from tasks.engine.home import PROJECT, Home


def test_limits_of_hooks_that_ran_are_told_without_their_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = tmp_path / "filters_of_mine.py"
    module.write_text(
        "def length(texts, urls):\n    return [len(text.split()) for text in texts]\n"
    )
    texts = {str(words): " ".join(f"w{words}x{n}" for n in range(words)) for words in (40, 80, 160)}
    (tmp_path / "mine.jsonl").write_text(
        "\n".join(json.dumps({"url": f"http://a.test/{u}", "text": texts[u]}) for u in texts)
    )
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        f"extends: {PROJECT}/recipes/demo.yaml\nname: mine\nsnapshot: once\n"
        f"crawl: {{sources: {{docs: null, mine: {{type: files, path: '{tmp_path}/mine.jsonl'}}}}}}\n"
        "clean:\n  filters: {presets: []}\n  planted: 0\n"
        "  hooks: {words: {function: 'filters_of_mine:length', min: 100}}\n"
    )
    home = Home(tmp_path / "home")
    run_locally(home, str(recipe), [], until="clean", report=Reporter())
    module.unlink()
    record = find_run(home, str(recipe))

    def kept(*overrides: str) -> tuple[int, int]:
        after, _ = with_changes(record, str(recipe), overrides)
        nights = corpus_of(home, record)
        told = whatif([(n.values, decide_values(n.values, after), n.inputs) for n in nights])
        return told["before"]["kept"]["documents"], told["after"]["kept"]["documents"]

    assert kept() == (1, 1)
    assert kept("clean.hooks.words.min=60") == (1, 2)
    assert kept("clean.hooks.words.min=null", "clean.hooks.words.max=80") == (1, 2)
    for override in (
        "clean.hooks.words.function=filters_of_mine:other",
        "clean.hooks.other={function: 'filters_of_mine:length'}",
        "clean.hooks={}",
    ):
        with pytest.raises(BadInput, match=r"only for hooks that ran; .*clean\.hooks\.words\.min"):
            kept(override)
    with pytest.raises(BadInput, match="without reading text"):
        kept("clean.pii=[]")

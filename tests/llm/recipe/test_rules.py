"""Sections that do not go together are refused when a recipe is loaded, with both fields named."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from llm.recipe import STAGES, RecipeError, load_recipe

PLAIN = """\
name: mine
crawl: {sources: {wiki: {type: files, path: wiki.txt}, web: {type: web, seeds: [https://example.org/]}}}
"""
TASK = "finetune: [{name: ask, data: talk.jsonl%s}]\n"
ENCODER = "pretrain: {model: {preset: bert, %s}, objective: {type: masked}}\n"
PAIRS = (
    "tokenizer: {reserve: [chat, masking]}\n"
    "pretrain: {model: {preset: bert, %s}, objective: {type: masked_next_sentence}, %s}\n"
)
SPANS = (
    "tokenizer: {reserve: [chat, spans]}\n"
    "pretrain: {model: {architecture: encoder_decoder}, objective: {type: span_corruption}, %s}\n"
)
UNTIL_PRETRAIN = STAGES[: STAGES.index("pretrain") + 1]


def load(folder: Path, text: str, stages: Sequence[str] = STAGES) -> None:
    (folder / "wiki.txt").write_text("text\n")
    (folder / "talk.jsonl").write_text('{"prompt": "a", "response": "b"}\n')
    path = folder / "mine.yaml"
    path.write_text(PLAIN + text)
    load_recipe(str(path), (), stages)


REFUSED = [
    (
        TASK % ", batch_tokens: 4096" + "pretrain: {model: {context_length: 4096}, batch_tokens: 8192}\n",
        ("finetune.0.batch_tokens is 4096", "pretrain.model.context_length 4096", "8192", "line 3"),
    ),
    (TASK % ", init: asks", ("finetune.0.init names 'asks'", "the tasks before it are: none", "./asks", "line 3")),
    (TASK % ", init: ./asks", ("finetune.0.init: there is no folder 'asks'", "line 3")),
    ("finetune: [{name: kind, task: classify, data: talk.jsonl}, {name: ask, data: talk.jsonl, init: kind}]\n",
     ("finetune.1.init names 'kind'", "labels or values of texts", "start from a task that writes")),
    (TASK % ", data_parallel: 32", ("finetune.0.batch_tokens", "data_parallel 32", "context_length 256")),
    ("promote: {metric: perplexity.base.bits_per_byte.wikis}\n",
     ("promote.metric", "crawl.sources", "'wikis'", "there are: web, wiki", "Did you mean perplexity.base.bits_per_byte.wiki?")),
    ("promote: {metric: perplexity.wiki.bits_per_byte}\n",
     ("not measure the model 'wiki'", "there are: base", "Did you mean perplexity.base.bits_per_byte.wiki?")),
    ("promote: {metric: perplexity.bits_per_byte}\n",
     ("promote.metric", "'perplexity.bits_per_byte'", "suite.model.figure", "line 3")),
    ("promote: {metric: perplexities.base.bits_per_byte}\n",
     ("no suite 'perplexities'", "perplexity, infilling, answers, labels, values, translations, preferences, samples", "Did you mean perplexity.base.bits_per_byte?")),
    ("promote: {metric: perplexity.base.bits_per_bite}\n",
     ("no figure 'bits_per_bite'", "there are: bits_per_byte, nats_per_token", "Did you mean perplexity.base.bits_per_byte?")),
    (TASK % "" + "promote: {metric: answers.asks.nats_per_token}\n",
     ("not measure the model 'asks'", "there are: base, ask", "Did you mean answers.ask.nats_per_token?")),
    (TASK % "" + "promote: {metric: answers.ask.nats_per_token.other}\n", ("not measured on the task 'other'", "ask")),
    ("evaluate: {suites: [answers]}\npromote: {metric: answers.base.nats_per_token}\n",
     ("answers does not measure the model 'base'",)),
    ("promote: {metric: samples.base.bits_per_byte}\n", ("samples has no figure to promote by",)),
    ("evaluate: {suites: [samples]}\n",
     ("promote.metric is perplexity.base.bits_per_byte", "evaluate.suites is [samples]", "add perplexity")),
    ("evaluate: {perplexity: {context_length: 512}}\n",
     ("evaluate.perplexity.context_length is 512", "pretrain.model.context_length 256")),
    ("evaluate: {perplexity: {stride: 300}}\n",
     ("evaluate.perplexity.stride is 300", "pretrain.model.context_length 256")),
    ("evaluate: {baselines: [lstm], perplexity: {stride: 100}, lstm: {training: {context_length: 64}}}\n",
     ("evaluate.perplexity.stride is 100", "evaluate.lstm.training.context_length 64")),
    ("finetune: [{name: ask, data: 'builtin:typo'}]\n",
     ("finetune.0.data", "'builtin:typo'", "builtin:python-questions")),
    ("finetune: [{name: ask, data: 'builtin:python-questions'}]\n",
     ("finetune.0.data", "crawl.sources", "recipes/base.yaml")),
    (ENCODER % "layers: 1" + "tokenizer: {reserve: [chat, masking]}\nevaluate: {suites: [perplexity]}\n",
     ("evaluate.suites is [perplexity]", "pretrain.model is an encoder", "infilling")),
    (ENCODER % "layers: 1" + "promote: {metric: perplexity.base.bits_per_byte.web}\n",
     ("perplexity does not measure an encoder", "Did you mean infilling.base.bits_per_byte.web?")),
    (ENCODER % "layers: 1" + TASK % "",
     ("finetune ask (instruct) starts from decoder", "pretrain.model is an encoder")),
    (TASK % "" + "tokenizer: {reserve: []}\n", ("tokenizer.reserve", "finetune ask", "reserve: [chat]")),
    ("tokenize: {validation: {fraction: 0}}\n", ("tokenize.validation.fraction is 0", "evaluate")),
    ("finetune: [{name: ask, data: nowhere.jsonl}]\n", ("finetune.0.data", "'nowhere.jsonl'", "line 3")),
    ("finetune: [{name: ask, data: 'https://example.org/talk.jsonl'}]\n", ("finetune.0.data", "download")),
    ("clean: {decontaminate: {sets: {2024: {path: 'quiz/*.jsonl'}}}}\n",
     ("clean.decontaminate.sets.2024.path", "'quiz/*.jsonl'")),
    ("clean: {signals: {quality_model: good.bin}}\n", ("clean.signals.quality_model", "good.bin")),
    ("pretrain: {init: base}\n", ("pretrain.init", "no folder 'base'")),
    ("finetune: [{name: base, data: talk.jsonl}]\n", ("finetune.0.name", "'base'", "evaluate")),
    ("finetune: [{name: a, data: talk.jsonl}, {name: a, data: talk.jsonl}]\n", ("finetune.1.name", "'a'")),
    ("pretrain: {mix: {wiki: 0, web: 0}}\n", ("pretrain.mix", "crawl.sources", "weight 0")),
    ("pretrain: {mix: {wikis: 2}}\n", ("pretrain.mix", "no source 'wikis'")),
    ("pretrain: {continual: {}}\ncrawl: {nights: alone}\n", ("crawl",)),
    ("pretrain: {validate_every: 10}\ntokenize: {validation: {fraction: 0}}\n",
     ("pretrain.validate_every is 10", "tokenize.validation.fraction 0")),
    ("clean: {hooks: {mine: {function: 'a:b', max: 0.2}}}\n", ("clean.hooks.mine", "min is 0.5", "max is 0.2")),
    ("clean: {hooks: {doc_id: {function: 'a:b'}}}\n", ("clean.hooks.doc_id",)),
    ("clean: {filters: {fineweb2: {min_mean_word_length: 20}}}\n", ("min_mean_word_length", "20")),
    ("clean: {filters: {per_language: {de: {gopher_quality: {min_words: 200000}}}}}\n",
     ("per_language.de.gopher_quality", "min_words is 200000", "max_words 100000")),
    ("clean: {filters: {models: {min_quality: 0.5}}}\n",
     ("clean.filters.models.min_quality", "clean.signals.quality_model")),
    ("clean: {filters: {languages: [english]}}\n", ("clean.filters", "'english'", "ISO 639")),
    ("clean: {pii: [email, email]}\n", ("clean.pii names email twice",)),
]  # fmt: skip

PRETRAINING = [
    (ENCODER % "layers: 1", ("tokenizer.reserve", "pretrain.objective.type is masked", "[chat, masking]")),
    (PAIRS % ("layers: 1", "packing: best_fit"), ("pretrain.packing is best_fit", "masked_next_sentence")),
    (PAIRS % ("layers: 1", "document_mask: true"), ("pretrain.document_mask is true", "masked_next_sentence")),
    (PAIRS % ("next_sentence: false", "seed: 1"), ("pretrain.model.next_sentence", "masked_next_sentence")),
    (PAIRS % ("token_types: 1", "seed: 1"), ("pretrain.model.token_types 2", "it is 1")),
    (SPANS % "document_mask: true", ("pretrain.document_mask", "span_corruption")),
    (SPANS.replace("span_corruption", "span_corruption, mean_span: 1, rate: 0.5") % "seed: 1",
     ("pretrain.objective.mean_span 1", "pretrain.model.context_length 256", "64 sentinels")),
]  # fmt: skip

ACCEPTED = [
    TASK % ", batch_tokens: 8192"
    + "pretrain: {model: {context_length: 4096}, batch_tokens: 8192}\n",
    "promote: {metric: perplexity.base.bits_per_byte.wiki}\n",
    "promote: {metric: perplexity.base.nats_per_token}\n",
    TASK % "" + "promote: {metric: answers.ask.nats_per_token}\n",
    TASK % "" + "promote: {metric: answers.base.bits_per_byte.ask}\n",
    TASK % "" + "evaluate: {suites: [answers]}\npromote: {metric: answers.ask.bits_per_byte}\n",
    "evaluate: {perplexity: {context_length: 256, stride: 256}}\n",
    "evaluate: {perplexity: {stride: 100}, lstm: {training: {context_length: 64}}}\n",
    "tokenizer: {reserve: []}\n",
    TASK % "",
    "finetune: [{name: based, data: '*.jsonl'}]\n",
    "pretrain: {mix: {wiki: 0}}\n",
    "clean: {hooks: {mine: {function: 'a:b', min: null, max: 0.2}}}\n",
    "clean: {filters: {languages: [no, de], per_language: {nb: {gopher_quality: {min_words: 5}}}}}\n",
    "clean: {decontaminate: {sets: {2024: {path: wiki.txt}}}}\n",
]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_what_cannot_succeed_is_refused_at_load(
    text: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError) as error:
        load(tmp_path, text)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(("text", "words"), PRETRAINING)
def test_what_an_objective_cannot_do_is_refused_before_pretraining(
    text: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError) as error:
        load(tmp_path, text, UNTIL_PRETRAIN)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("text", ACCEPTED)
def test_its_valid_neighbours_load(text: str, tmp_path: Path) -> None:
    load(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "tokenizer: {reserve: [masking]}\n" + ENCODER % "layers: 1",
        PAIRS % ("layers: 1", "seed: 1"),
        SPANS % "seed: 1",
        "tokenize: {validation: {fraction: 0}}\npromote: {metric: perplexity.base.bits_per_byte.x}\n",
        "finetune: [{name: ask, data: 'builtin:python-questions'}]\n",
    ],
)
def test_what_only_later_stages_could_not_do_is_no_fault_of_a_run_that_ends_before_them(
    text: str, tmp_path: Path
) -> None:
    load(tmp_path, text, UNTIL_PRETRAIN)

"""The stages by name, in the order of the pipeline."""

from collections.abc import Mapping

from llm.recipe import STAGES
from tasks.engine.run import Wiring
from tasks.stages import clean, crawl, evaluate, finetune, pretrain, promote, tokenize, tokenizer

WIRING: Mapping[str, Wiring] = {
    "crawl": crawl.crawl,
    "clean": clean.clean,
    "tokenizer": tokenizer.tokenizer,
    "tokenize": tokenize.tokenize,
    "pretrain": pretrain.pretrain,
    "finetune": finetune.finetune,
    "evaluate": evaluate.evaluate,
    "promote": promote.promote,
}
assert tuple(WIRING) == STAGES

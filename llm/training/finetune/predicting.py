"""What a model with a head for whole texts says of texts, many at once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from llm.models.folder import load_any
from llm.models.language_model import LanguageModel
from llm.step import BadInput
from llm.tokens.marked import Marks, encode_marked
from llm.tokens.rows import FILLING
from llm.tokens.special import PADDING, special_ids

BATCH_TOKENS = 4096

Array = np.ndarray[Any, np.dtype[Any]]


def load_predictor(
    folder: Path, device: torch.device, compute_type: torch.dtype = torch.float32
) -> tuple[LanguageModel, Tokenizer]:
    """A model of a folder that says labels or values, and its tokenizer. Raises BadInput for others."""
    model, tokenizer = load_any(folder, device, compute_type)
    if model.config.outputs is None:
        raise BadInput(
            f"{folder} holds a model that writes text, and says no labels or values: train one with the task "
            "classify or regress"
        )
    model.eval()
    return model, tokenizer


@torch.inference_mode()
def outputs_of(
    model: LanguageModel,
    tokenizer: Tokenizer,
    pairs: Sequence[tuple[str, str]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Array:
    """The outputs for texts, with what stands behind each ("": it stands alone): (N, labels) float32.

    Texts longer than the context lose their ends. progress(done, total): texts.
    """
    config = model.config
    assert config.outputs is not None, "the model says labels or values"
    marks = Marks.of(tokenizer, config.architecture)
    texts = list(encode_marked(tokenizer, marks, pairs, config.context_length))
    found = np.zeros((len(texts), len(config.outputs.labels)), np.float32)
    order = sorted(range(len(texts)), key=lambda number: -len(texts[number].ids))
    begin = 0
    while begin < len(order):
        longest = len(texts[order[begin]].ids)
        chosen = order[begin : begin + max(1, BATCH_TOKENS // longest)]
        tokens = np.full((len(chosen), longest), FILLING)
        segments, types = np.zeros_like(tokens), np.zeros_like(tokens)
        for row, number in enumerate(chosen):
            ids = texts[number].ids
            tokens[row, : len(ids)], segments[row, : len(ids)] = ids, 1
            types[row, texts[number].second : len(ids)] = 1
        said = model.outputs(**_inputs(model, tokenizer, tokens, segments, types))
        found[chosen] = said.cpu().numpy()
        begin += len(chosen)
        progress(begin, len(texts))
    return found


def _inputs(
    model: LanguageModel, tokenizer: Tokenizer, tokens: Array, segments: Array, types: Array
) -> dict[str, torch.Tensor]:
    arrays = {"tokens": tokens, "segments": segments}
    if model.config.token_types > 1:
        arrays["types"] = types
    if model.config.architecture == "encoder_decoder":
        start = special_ids(tokenizer, (PADDING,))[PADDING]
        one = np.full((len(tokens), 1), start)
        arrays = {
            "tokens": one,
            "segments": np.ones_like(one),
            "sources": tokens,
            "source_segments": segments,
        }
    device = model.embedding.device
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}

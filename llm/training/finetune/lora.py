"""LoRA: a task trains low-rank changes of a model's matrices, and of the rest only what is new.

The base model's weights are frozen. Learned are a change for each linear map that is chosen
(`llm.models.low_rank`), a head for texts, and the embeddings of tokens that the task brings. After
training the changes are written in peft's layout, and made part of the model.
"""

import inspect
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from llm.models.build import build
from llm.models.layers import Linear
from llm.models.low_rank import LowRank, NewRows, low_ranks, merge
from llm.tokens.special import GROUPS, special_ids
from llm.training.finetune.peft_files import HEADS, write_adapter
from llm.training.finetune.settings import LORA_TARGETS, LoraSettings
from llm.training.finetune.task import Setup

if TYPE_CHECKING:
    from llm.models.config import ModelConfig
    from llm.models.language_model import LanguageModel
    from llm.training.batch import Batch

# How far logits of the merged model may be from those of base and changes, as a share of the largest.
BOUNDS = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
_OF_A_LAYER = re.compile(r"blocks\.\d+\.(?:attention|cross_attention|feed_forward)\.(\w+)$")


def adapt(model: "LanguageModel", setup: Setup, reserves: Sequence[str]) -> None:
    """Freeze a model but for changes of its matrices, its head for texts, and rows of new tokens.

    reserves: the groups of special tokens that the task needs, which the base may never have seen.
    """
    settings: LoraSettings = setup.values.adapt
    tokenizer = Tokenizer.from_file(str(setup.base.tokenizer))
    names = [name for group in reserves for name in GROUPS[group]]
    new_tokens = list(special_ids(tokenizer, names).values())
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(HEADS))
    generator = torch.Generator().manual_seed(setup.values.seed)
    for layer in list(chosen_layers(model, settings.maps)):
        layer.low_rank = LowRank(layer, settings.rank, settings.alpha, settings.dropout, generator)
    if new_tokens:
        model.new_embedding = NewRows(model.embedding, new_tokens)
        if model.head is not None:
            model.new_head = NewRows(model.head, new_tokens)


def finish(
    model: "LanguageModel", settings: LoraSettings, batch: "Batch", folder: Path
) -> dict[str, float]:
    """Write the adapter into the folder and make it part of the model: figures for the manifest.

    Raises RuntimeError where the merged model is not what was trained (see `merge_checked`).
    """
    found = counts(model)
    write_adapter(model, settings, folder)
    return {**found, "merged_distance": merge_checked(model, batch)}


def chosen_layers(model: nn.Module, targets: Sequence[str]) -> Iterator[Linear]:
    """The linear maps of the blocks that targets name."""
    wanted = {LORA_TARGETS[name] for name in targets}
    for name, module in model.named_modules():
        found = _OF_A_LAYER.search(name)
        if isinstance(module, Linear) and found and found[1] in wanted:
            yield module


def counts(model: nn.Module) -> dict[str, int]:
    """How many numbers are trained, of how many of the model's own."""
    own = [
        one
        for name, one in model.named_parameters()
        if "low_rank." not in name and "new_" not in name
    ]
    trained = sum(one.numel() for one in model.parameters() if one.requires_grad)
    return {"trained_parameters": trained, "parameters": sum(one.numel() for one in own)}


def planned_counts(
    config: "ModelConfig", settings: LoraSettings, reserves: Sequence[str]
) -> dict[str, int]:
    """As `counts`, before there is a model; without a head for texts, whose size the labels tell."""
    with torch.device("meta"):
        model = build(config)
    shapes = [layer.weight.shape for layer in chosen_layers(model, settings.maps)]
    tables = 1 if model.head is None else 2
    rows = tables * sum(len(GROUPS[group]) for group in reserves)
    trained = settings.rank * sum(map(sum, shapes)) + rows * config.d_model
    return {"trained_parameters": trained, "parameters": config.parameters}


@contextmanager
def apart(model: nn.Module) -> Iterator[None]:
    """Let every change be computed beside its layer, as peft does, and not as a part of its matrix."""
    changes = [change for _, _, change in low_ranks(model)]
    for change in changes:
        change.apart = True
    try:
        yield
    finally:
        for change in changes:
            change.apart = False


def merge_checked(model: "LanguageModel", batch: "Batch") -> float:
    """Make the changes part of the model; the distance of its logits for a batch from those before.

    As a share of the largest logit. Raises RuntimeError where it is beyond the bound of its type: the
    model would not be what was trained.
    """
    with apart(model):
        before = _logits(model, batch)
    merge(model)
    after = _logits(model, batch)
    distance = float((after - before).abs().max() / before.abs().max().clamp(min=1e-6))
    bound = BOUNDS[model.compute_dtype]
    if not distance <= bound:
        raise RuntimeError(
            f"the merged model's logits differ from those of the base model and its changes by {distance:.2g} "
            f"of the largest, more than {bound:g}: the adapter was not merged as it was trained"
        )
    return distance


@torch.no_grad()
def _logits(model: "LanguageModel", batch: "Batch") -> Tensor:
    """What the model says of a batch's rows, float32."""
    was_training = model.training
    model.eval()
    tensors: dict[str, Any] = dict(batch.tensors(slice(None), model.embedding.device))
    known = inspect.signature(model.hidden_states).parameters  # type: ignore[arg-type]
    inputs = {name: tensor for name, tensor in tensors.items() if name in known}
    if model.output_head is not None:
        found = model.outputs(**inputs)
    else:
        found = model.logits(model.hidden_states(**inputs))  # type: ignore[operator]
    model.train(was_training)
    return found

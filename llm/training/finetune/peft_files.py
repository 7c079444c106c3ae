"""Adapters in peft's layout: adapter_config.json and adapter_model.safetensors.

Names are those of the layout of the model's folder, so that `PeftModel.from_pretrained` finds the layers
in what transformers makes of the base model's folder. GPT-2 keeps queries, keys and values in one map:
their changes become one of three times the rank, whose B has a block for each.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from llm.durable import write_json
from llm.models.low_rank import LowRank, low_ranks
from llm.parts import load as load_part
from llm.tensor_file import write_tensors
from llm.training.finetune.settings import LoraSettings

if TYPE_CHECKING:
    from llm.models.language_model import LanguageModel
    from llm.models.layouts.table import Stored

HEADS = "output_head."  # parameters that a task adds, and trains whole
PREFIX = "base_model.model."
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
TASK_TYPES = {"decoder": "CAUSAL_LM", "encoder_decoder": "SEQ_2_SEQ_LM"}


def write_adapter(model: "LanguageModel", settings: LoraSettings, folder: Path) -> None:
    """Write the changes of a model that `lora.adapt` made, before they are merged."""
    config = model.config
    own = [name for name, _ in model.named_parameters() if not _is_ours(name)]
    layout = load_part("layout", str(config.export))
    table: Mapping[str, Stored] = layout.table(config, own)
    changes = {f"{name}.weight": change for name, _, change in low_ranks(model)}
    widths = {f"{name}.weight": len(layer.weight) for name, layer, _ in low_ranks(model)}
    widths |= {name: len(one) for name, one in model.named_parameters() if name in own}
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    transposed = False
    for theirs, stored in table.items():
        parts = [(changes.get(one), widths[one]) for one in stored.parameters]
        if not any(change is not None for change, _ in parts):
            continue
        module = theirs.removesuffix(".weight")
        down, up = _as_one(parts)
        tensors[f"{PREFIX}{module}.lora_A.weight"] = down
        tensors[f"{PREFIX}{module}.lora_B.weight"] = up
        ranks[module] = len(down)
        transposed = transposed or stored.transposed
    rows, ids = _new_rows(model, table)
    heads = _heads(model, table)
    write_tensors(folder / WEIGHTS, {**tensors, **rows, **heads}, {"format": "pt"})
    task_type = "SEQ_CLS" if config.outputs is not None else TASK_TYPES.get(config.architecture)
    uneven = {module: rank for module, rank in ranks.items() if rank != settings.rank}
    fields: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": task_type,
        "base_model_name_or_path": None,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "target_modules": list(ranks),
        "rank_pattern": uneven,
        "alpha_pattern": {
            module: settings.alpha * rank / settings.rank for module, rank in uneven.items()
        },
        "fan_in_fan_out": transposed,
        "bias": "none",
        "modules_to_save": sorted({_module(name) for name in heads}) or None,
        "trainable_token_indices": ids or None,
        "inference_mode": True,
    }
    write_json(folder / CONFIG, fields)


def _is_ours(name: str) -> bool:
    """Whether a parameter is one that `lora.adapt` added to the model."""
    return "low_rank." in name or name.startswith(("new_embedding.", "new_head."))


def _module(key: str) -> str:
    return key.removeprefix(PREFIX).rpartition(".")[0]


def _as_one(parts: list[tuple[LowRank | None, int]]) -> tuple[Tensor, Tensor]:
    """The changes of maps that a file holds as one: A (ranks, inputs) and B (outputs, ranks).

    parts: each map's change, None where it has none, and its outputs.
    """
    there = [change for change, _ in parts if change is not None]
    down = torch.cat([change.down.detach() for change in there])
    up = down.new_zeros(sum(width for _, width in parts), len(down))
    row = column = 0
    for change, width in parts:
        if change is not None:
            rank = change.up.shape[1]
            up[row : row + width, column : column + rank] = change.up.detach()
            column += rank
        row += width
    return down.cpu(), up.cpu()


def _new_rows(
    model: "LanguageModel", table: "Mapping[str, Stored]"
) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """Rows of tokens that were learned: tensors, and their ids by the module's name."""
    tensors, ids = {}, {}
    for own in ("embedding", "head"):
        new = getattr(model, f"new_{own}")
        if new is not None:
            module = next(
                name for name, stored in table.items() if stored.parameters == (own,)
            ).removesuffix(".weight")
            key = f"{PREFIX}{module}.token_adapter.trainable_tokens_delta"
            tensors[key] = new.rows.detach().cpu()
            ids[module] = new.ids.tolist()
    return tensors, ids


def _heads(model: "LanguageModel", table: "Mapping[str, Stored]") -> dict[str, Tensor]:
    """A head for texts, which is trained whole."""
    known = dict(model.named_parameters())
    return {
        f"{PREFIX}{theirs}": known[stored.parameters[0]].detach().cpu().clone()
        for theirs, stored in table.items()
        if stored.parameters and stored.parameters[0].startswith(HEADS)
    }

"""Model folders: safetensors, config.json, tokenizer and chat template.

Folders are in a layout of Hugging Face where the model fits one: `transformers` reads what is written
here with no code of ours, and what it writes in these layouts is read here, as long as it asks for
nothing that the model does not do; what it asks for is named then. Other models are in a layout of
our own, whose config.json says model_type "penstock".
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer
from torch import Tensor, nn

from llm.durable import write_bytes, write_json
from llm.models.build import build
from llm.models.config import ModelConfig
from llm.models.layouts.fields import named, part, read_object, words
from llm.models.layouts.filling import as_stored, fill
from llm.models.layouts.outputs import outputs_json, read_outputs
from llm.models.layouts.table import Table, stored_name
from llm.models.roles import START, ids_of, roles_of
from llm.parts import load as load_part
from llm.parts import registry, unkeyed
from llm.step import BadInput
from llm.tensor_file import write_tensors

if TYPE_CHECKING:
    from llm.models.decoder import Decoder
    from llm.models.encoder import Encoder
    from llm.models.encoder_decoder import EncoderDecoder

    Model = Decoder | Encoder | EncoderDecoder

# Models that are no larger are compared with their weights tensor by tensor alone.
_FEW_PARAMETERS = 1 << 26


class Layout(Protocol):
    """What a module of llm.models.layouts has."""

    def table(self, config: ModelConfig, names: list[str]) -> Table:
        """Which of the model's parameters (`names`) each tensor of a file holds."""

    def canonical(self, name: str, config: ModelConfig) -> str | None:
        """The table's name of a tensor in a file; None for one that says nothing new."""

    def misfits(self, layout: str, config: ModelConfig) -> list[str]:
        """The fields that keep a model out of the layout of this name."""

    def may_lack(self, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """How the names of parameters begin that a file with this config.json need not have."""

    def repeats(self, name: str) -> str | None:
        """The tensor that a tensor (both by the table's names) repeats where weights are tied."""

    def config_json(self, config: ModelConfig) -> dict[str, Any]:
        """The fields of config.json."""

    def read_config(self, path: Path, fields: Mapping[str, Any]) -> ModelConfig:
        """What config.json describes. Raises BadInput naming what cannot be done."""


def save(
    model: "Model",
    folder: Path,
    tokenizer_json: Path,
    chat_template: str | None = None,
    generation: Mapping[str, Any] | None = None,
) -> None:
    """Write the model with its tokenizer and, for one that was taught to chat, its template.

    chat_template: Jinja, as transformers reads it. generation: further fields of generation_config.json,
    such as decoder_start_token_id, which is padding's unless it is given. The same model gives the same bytes: weights are
    float32 whatever the compute type, and nothing holds a date or a version. Raises ValueError for a
    model that does not fit the layout it is to be in (config.export).
    """
    config = model.config
    if config.export is None:  # never so in a step, whose values say it
        layout_name = unkeyed("llm.models.layouts.choose").chosen(config, None)
        config = dataclasses.replace(config, export=layout_name)
    layout = _layout_for(config)
    folder.mkdir(parents=True, exist_ok=True)
    state = as_stored(model, _table(layout, model))
    write_tensors(folder / "model.safetensors", state, {"format": "pt"})
    write_bytes(folder / "tokenizer.json", tokenizer_json.read_bytes())
    tokenizer = Tokenizer.from_file(str(tokenizer_json))
    ids, stops = ids_of(tokenizer)
    generation = dict(generation or {})
    if config.architecture == "encoder_decoder":
        start = generation.pop(START, ids.get("pad_token_id"))
        ids |= {} if start is None else {START: start}
    write_json(
        folder / "config.json", {**layout.config_json(config), **outputs_json(config), **ids}
    )
    write_json(folder / "generation_config.json", {**ids, "eos_token_id": stops, **generation})
    description: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.config.context_length,
        "clean_up_tokenization_spaces": False,
        **roles_of(tokenizer),
    }
    # Releases of transformers differ in whether tokenizers say token types by themselves, and GPT-2 takes
    # what it is given of them for tokens.
    types = ["token_type_ids"] if config.token_types > 1 else []
    description["model_input_names"] = ["input_ids", *types, "attention_mask"]
    if chat_template is not None:
        description["chat_template"] = chat_template
    write_json(folder / "tokenizer_config.json", description)


def _layout_for(config: ModelConfig) -> Layout:
    found: Layout = load_part("layout", str(config.export))
    wrong = found.misfits(str(config.export), config)
    if wrong:
        raise ValueError(
            f"the layout {config.export} has no {wrong[0]} {getattr(config, wrong[0])!r}: export the "
            "model as own"
        )
    return found


def _table(layout: Layout, model: nn.Module) -> Table:
    return layout.table(model.config, [name for name, _ in model.named_parameters()])  # type: ignore[arg-type]


def load(
    folder: Path, device: str | torch.device = "cpu", compute_dtype: torch.dtype = torch.float32
) -> tuple["Decoder", Tokenizer]:
    """Read a decoder's folder: the decoder on `device`, and its tokenizer.

    Raises BadInput naming the file and the field or tensor that the decoder cannot do.
    """
    model = load_decoder(folder, device, compute_dtype)
    return model, tokenizer_of(folder, model.config)


def load_any(
    folder: Path, device: str | torch.device = "cpu", compute_dtype: torch.dtype = torch.float32
) -> tuple["Model", Tokenizer]:
    """Read a folder of any architecture: the model and its tokenizer. Raises BadInput as `load` does."""
    model = load_model(folder, device, compute_dtype)
    return model, tokenizer_of(folder, model.config)


def tokenizer_of(folder: Path, config: ModelConfig) -> Tokenizer:
    """The tokenizer of a model folder. Raises BadInput where it is none of such a model's."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise BadInput(
            f"{folder} has no tokenizer.json; with transformers, "
            "AutoTokenizer.from_pretrained(...).save_pretrained(...) writes one"
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise BadInput(f"{path} cannot be read: {error}; copy the file again") from error
    if tokenizer.get_vocab_size() > config.vocabulary:
        raise BadInput(
            f"{folder}: tokenizer.json has {tokenizer.get_vocab_size()} tokens, config.json's "
            f"vocab_size is {config.vocabulary}: they are not of one model"
        )
    return tokenizer


def load_decoder(
    folder: Path, device: str | torch.device = "cpu", compute_dtype: torch.dtype = torch.float32
) -> "Decoder":
    """Read the decoder of a model folder alone. Raises BadInput as `load` does."""
    model = load_model(folder, device, compute_dtype)
    if model.config.architecture != "decoder":
        raise BadInput(
            f"{folder} holds an {model.config.architecture}, and what goes on here needs a decoder"
        )
    if model.config.outputs is not None:
        raise BadInput(
            f"{folder} holds a model that says {', '.join(model.config.outputs.labels)[:60]} of texts, and "
            "what goes on here needs one that writes"
        )
    return cast("Decoder", model)


def load_model(
    folder: Path, device: str | torch.device = "cpu", compute_dtype: torch.dtype = torch.float32
) -> "Model":
    """Read the model of a folder, of any architecture. Raises BadInput as `load` does."""
    config = read_config(folder)
    fields = read_object(folder / "config.json")
    layout: Layout = load_part("layout", fields["model_type"])
    _compare_sizes(folder, config)
    with torch.device("meta"):
        model = build(config, compute_dtype)
    model.to_empty(device="cpu")
    model.set_rotary()
    free = layout.may_lack(fields)
    if free:
        model.initialise(seed=0)
    table = _table(layout, model)
    known = ((layout.canonical(name, config), tensor) for name, tensor in _tensors(folder))
    missing = fill(model, table, ((name, one) for name, one in known if name is not None), folder)
    missing = {name for name in missing if not name.startswith(free)}
    lacking = sorted(stored_name(table, name) for name in missing)
    if lacking:
        raise BadInput(f"{folder}: the weights lack {', '.join(lacking[:3])}")
    return model.to(device)


def read_config(folder: Path) -> ModelConfig:
    """The model that a folder describes. Raises BadInput naming what the model cannot do.

    A head that is in the file beside a config.json that says tied, and differs from the embedding,
    makes the model untied, as transformers 5 has it.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise BadInput(f"{folder} is not a model folder: it has no config.json")
    fields = read_object(path)
    name = fields.get("model_type")
    named(path, "model_type", name, registry("layout"))
    layout: Layout = load_part("layout", str(name))
    config = dataclasses.replace(layout.read_config(path, fields), export=name)
    outputs = read_outputs(path, fields, config.architecture)
    config = dataclasses.replace(config, outputs=outputs)
    _refuse_impossible_heads(path, config)
    return _with_own_head(layout, folder, config)


def _refuse_impossible_heads(path: Path, config: ModelConfig) -> None:
    if config.heads % config.kv_heads:
        raise BadInput(
            f"{path}: {config.kv_heads} heads of keys and values do not divide {config.heads} heads"
        )
    if config.head_dim < 1 or (config.positions == "rope" and config.head_dim % 2):
        raise BadInput(
            f"{path}: a head is {config.head_dim} wide (width {config.d_model}, {config.heads} "
            "heads); rotary positions need an even width"
        )


def _compare_sizes(folder: Path, config: ModelConfig) -> None:
    """Refuse what is far larger than its weights, before memory for it is asked for."""
    held = 0
    for name, path in _names(folder):
        with _opened(path) as file:
            held += math.prod(file.get_slice(name).get_shape())
    if config.parameters > 4 * held + _FEW_PARAMETERS:  # a few may be missing, such as BERT's heads
        raise BadInput(
            f"{folder}: config.json describes a model of {config.parameters:,} parameters, the "
            f"weights hold {held:,} numbers: they are not of one model"
        )


def _with_own_head(layout: Layout, folder: Path, config: ModelConfig) -> ModelConfig:
    """Look at what the weights repeat. Raises BadInput for a difference that no model here has."""
    if not config.tie_embeddings or not any(folder.glob("*.safetensors")):
        return config
    untied = dataclasses.replace(config, tie_embeddings=False)
    stored = {layout.canonical(name, untied) or name: (path, name) for name, path in _names(folder)}
    for name, place in stored.items():
        other = layout.repeats(name)
        if other not in stored or torch.equal(_tensor(*place), _tensor(*stored[other])):
            continue
        if layout.canonical(name, untied) is None:
            raise BadInput(
                f"{folder}: tensor {name} differs from {other}, and the model has one for both: "
                "train it with the two tied"
            )
        config = untied
    return config


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """All weights of a folder."""
    return ((name, _tensor(path, name)) for name, path in _names(folder))


def _tensor(path: Path, name: str) -> Tensor:
    with _opened(path) as file:
        return file.get_tensor(name)


def _names(folder: Path) -> Iterator[tuple[str, Path]]:
    """The tensors of a folder with the files that hold them: one file, or those of an index."""
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file():
        names = _named_in(index)
    for name in names:
        path = folder / name
        if not path.is_file():
            raise BadInput(
                f"{folder} has no {name}; with transformers, save_pretrained(...) writes safetensors"
            )
        with _opened(path) as file:
            yield from ((name, path) for name in file.keys())  # noqa: SIM118 (no mapping)


def _named_in(index: Path) -> list[str]:
    """The files that an index names, all of its own folder."""
    places = part(index, read_object(index), "weight_map")
    names = sorted({*words(index, {"weight_map": [*places.values()]}, "weight_map")})
    for name in names:
        if not name or Path(name).name != name or "\0" in name or name == "..":
            raise BadInput(
                f"{index}: weight_map names {name!r}, which is not a file of the model's folder"
            )
    if not names:
        raise BadInput(f"{index}: weight_map names no file")
    return names


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as file:
            yield file
    except SafetensorError as error:
        raise BadInput(f"{path} cannot be read: {error}; copy the file again") from error

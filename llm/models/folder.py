"""Model folders in the layout of Hugging Face: safetensors, config.json, tokenizer and chat template.

`transformers` reads what is written here with no code of ours (Qwen3ForCausalLM, LlamaForCausalLM),
and what it writes in these two layouts is read here, as long as it asks for nothing that the decoder
does not do; what it asks for is named then.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from tokenizers import Tokenizer
from torch import Tensor

from llm.durable import write_bytes, write_json
from llm.models.config import DecoderConfig
from llm.models.decoder import Decoder
from llm.step import BadInput

LAYOUTS = {"qwen3": "Qwen3ForCausalLM", "llama": "LlamaForCausalLM"}  # model_type: architecture

# Our parameter names and those of the layout; the layers' stand below model.layers.N there.
WHOLE_MODEL = {
    "embedding": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "head": "lm_head.weight",
}
IN_A_LAYER = {
    "attention_norm": "input_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "attention.query_norm": "self_attn.q_norm",
    "attention.key_norm": "self_attn.k_norm",
    "feed_forward_norm": "post_attention_layernorm",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.up": "mlp.up_proj",
    "feed_forward.down": "mlp.down_proj",
}

# Sizes in config.json, and what they are called here.
SIZES = {
    "vocab_size": "vocabulary",
    "num_hidden_layers": "layers",
    "hidden_size": "d_model",
    "num_attention_heads": "heads",
    "intermediate_size": "hidden",
    "max_position_embeddings": "context_length",
}
# Fields that would change the result, and the values with which they do not. Missing is fine.
HARMLESS: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "use_sliding_window": (False,),
    "pretraining_tp": (1,),
    "quantization_config": (),
}
# What the special tokens are to a tokenizer of transformers, for those that it has.
ROLES = {
    "bos_token": "<|endoftext|>",
    "eos_token": "<|endoftext|>",
    "pad_token": "<|pad|>",
}
STOPS = ("<|endoftext|>", "<|im_end|>")


def layout_name(name: str) -> str:
    """The layout's name of one of the decoder's parameters."""
    if name in WHOLE_MODEL:
        return WHOLE_MODEL[name]
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)\.weight", name)
    assert match is not None, name
    return f"model.layers.{match[1]}.{IN_A_LAYER[match[2]]}.weight"


def save(
    model: Decoder, folder: Path, tokenizer_json: Path, chat_template: str | None = None
) -> None:
    """Write the model with its tokenizer and, for one that was taught to chat, its template.

    chat_template: Jinja, as transformers reads it. The same model gives the same bytes: weights are
    float32 whatever the compute type, and nothing holds a date or a version.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        layout_name(name): parameter.detach()
        .float()
        .cpu()
        .clone(memory_format=torch.contiguous_format)
        for name, parameter in model.named_parameters()
    }
    write_bytes(folder / "model.safetensors", serialise(state, metadata={"format": "pt"}))
    write_bytes(folder / "tokenizer.json", tokenizer_json.read_bytes())
    tokenizer = Tokenizer.from_file(str(tokenizer_json))
    roles = {
        role: token for role, token in ROLES.items() if tokenizer.token_to_id(token) is not None
    }
    ids = {f"{role}_id": tokenizer.token_to_id(token) for role, token in roles.items()}
    stops = [tokenizer.token_to_id(token) for token in STOPS]
    write_json(folder / "config.json", {**config_json(model.config), **ids})
    write_json(
        folder / "generation_config.json",
        {**ids, "eos_token_id": [stop for stop in stops if stop is not None] or None},
    )
    description: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.config.context_length,
        "clean_up_tokenization_spaces": False,
        **roles,
    }
    if chat_template is not None:
        description["chat_template"] = chat_template
    write_json(folder / "tokenizer_config.json", description)


def config_json(config: DecoderConfig) -> dict[str, Any]:
    """The config.json with which transformers builds the same decoder."""
    layout = "qwen3" if config.qk_norm else "llama"
    return {
        "architectures": [LAYOUTS[layout]],
        "model_type": layout,
        **{field: getattr(config, name) for field, name in SIZES.items()},
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "attention_bias": False,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rope_theta,  # where transformers 4 looks for it, and 5 there:
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "tie_word_embeddings": config.tie_embeddings,
        "torch_dtype": "float32",
    }


def load(
    folder: Path, device: str | torch.device = "cpu", compute_dtype: torch.dtype = torch.float32
) -> tuple[Decoder, Tokenizer]:
    """Read a model folder: the decoder on `device`, and its tokenizer.

    Raises BadInput naming the file and the field or tensor that the decoder cannot do.
    """
    model = load_decoder(folder, device, compute_dtype)
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise BadInput(
            f"{folder} has no tokenizer.json; with transformers, "
            "AutoTokenizer.from_pretrained(...).save_pretrained(...) writes one"
        )
    tokenizer = Tokenizer.from_file(str(path))
    if tokenizer.get_vocab_size() > model.config.vocabulary:
        raise BadInput(
            f"{folder}: tokenizer.json has {tokenizer.get_vocab_size()} tokens, config.json's "
            f"vocab_size is {model.config.vocabulary}: they are not of one model"
        )
    return model, tokenizer


def load_decoder(
    folder: Path, device: str | torch.device = "cpu", compute_dtype: torch.dtype = torch.float32
) -> Decoder:
    """Read the decoder of a model folder alone. Raises BadInput as `load` does."""
    config = read_config(folder)
    with torch.device("meta"):
        model = Decoder(config, compute_dtype)
    model.to_empty(device="cpu")
    model.set_rotary()
    wanted = {layout_name(name): parameter for name, parameter in model.named_parameters()}
    ignored = {"lm_head.weight"} if config.tie_embeddings else set()
    for name, tensor in _tensors(folder):
        if name in ignored or name.endswith("rotary_emb.inv_freq"):
            continue
        if name not in wanted:
            raise BadInput(f"{folder}: tensor {name} has no place in the decoder of config.json")
        parameter = wanted.pop(name)
        if parameter.shape != tensor.shape:
            raise BadInput(
                f"{folder}: tensor {name} is {tuple(tensor.shape)}, config.json makes it "
                f"{tuple(parameter.shape)}"
            )
        with torch.no_grad():
            parameter.copy_(tensor)
    if wanted:
        raise BadInput(f"{folder}: the weights lack {', '.join(sorted(wanted)[:3])}")
    return model.to(device)


def read_config(folder: Path) -> DecoderConfig:
    """What config.json describes. Raises BadInput naming the field that the decoder cannot do."""
    path = folder / "config.json"
    if not path.is_file():
        raise BadInput(f"{folder} is not a model folder: it has no config.json")
    fields = json.loads(path.read_text())
    layout = fields.get("model_type")
    if layout not in LAYOUTS:
        raise BadInput(
            f"{path}: model_type {layout!r} is not one that Penstock reads ({', '.join(LAYOUTS)})"
        )
    _refuse_unknown(path, fields)
    missing = [field for field in SIZES if not isinstance(fields.get(field), int)]
    if missing:
        raise BadInput(f"{path}: {', '.join(missing)} must be given as a whole number")
    heads = fields["num_attention_heads"]
    config = DecoderConfig(
        **{name: fields[field] for field, name in SIZES.items()},
        kv_heads=fields.get("num_key_value_heads") or heads,
        head_dim=fields.get("head_dim") or fields["hidden_size"] // heads,
        rope_theta=float(_rope(fields).get("rope_theta", 10_000.0)),
        norm_epsilon=fields.get("rms_norm_eps", 1e-6),
        tie_embeddings=fields.get("tie_word_embeddings", False),
        qk_norm=layout == "qwen3",
    )
    if heads % config.kv_heads:
        raise BadInput(
            f"{path}: num_key_value_heads {config.kv_heads} does not divide num_attention_heads {heads}"
        )
    return config


def _rope(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The rotary settings, from where transformers 4 and 5 write them."""
    found = {"rope_theta": fields["rope_theta"]} if "rope_theta" in fields else {}
    return {**found, **(fields.get("rope_scaling") or {}), **(fields.get("rope_parameters") or {})}


def _refuse_unknown(path: Path, fields: Mapping[str, Any]) -> None:
    rope = _rope(fields)
    found = {field: fields.get(field) for field in HARMLESS}
    allowed = dict(HARMLESS)
    found["rope_scaling"] = rope.get("rope_type", rope.get("type"))
    allowed["rope_scaling"] = ("default",)
    found["partial_rotary_factor"] = rope.get(
        "partial_rotary_factor", fields.get("partial_rotary_factor")
    )
    allowed["partial_rotary_factor"] = (1.0,)
    found["layer_types"] = next(
        (kind for kind in fields.get("layer_types") or () if kind != "full_attention"), None
    )
    allowed["layer_types"] = ()
    for field, value in found.items():
        if value is not None and value not in allowed[field]:
            can = (
                " or ".join(repr(one) for one in allowed[field]) or "nothing else than the default"
            )
            raise BadInput(f"{path}: {field} {value!r} is not supported, only {can}")


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """All weights of a folder, from one safetensors file or those of an index."""
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file():
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    for name in names:
        path = folder / name
        if not path.is_file():
            raise BadInput(
                f"{folder} has no {name}; with transformers, save_pretrained(...) writes safetensors"
            )
        try:
            with safe_open(path, "pt") as file:
                for key in file.keys():  # noqa: SIM118 (a safetensors file is no mapping)
                    yield key, file.get_tensor(key)
        except SafetensorError as error:
            raise BadInput(f"{path} cannot be read: {error}; copy the file again") from error

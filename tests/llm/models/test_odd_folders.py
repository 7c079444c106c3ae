"""Files of a model folder that hold something else than they should: the file and the field are named."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models

from llm.models import folder
from llm.models.baselines import folder as baselines
from llm.models.build import build
from llm.models.config import ModelSettings
from llm.models.roles import delimiters
from llm.step import BadInput
from tests.llm.models.random_weights import randomise

BERT = {"preset": "bert", "architecture": "encoder", "heads": 4}
LAYOUTS: dict[str, dict[str, Any]] = {
    "qwen3": {"preset": "qwen3"},
    "llama": {"preset": "llama"},
    "gpt2": {"preset": "gpt2"},
    "bert": BERT,
    "penstock": {"preset": "qwen3", "export": "own"},
}
NO_OBJECTS: dict[str, str | bytes] = {
    "a list": "[]",
    "a text": '"model"',
    "a number": "7",
    "null": "null",
    "cut": '{"model_type": "qwen3"',
    "empty": "",
    "no Unicode": b"\xff\xfe\x00",
    "deep lists": "[" * 100_000 + "]" * 100_000,
    "deep objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "a number of 5,000 digits": '{"vocab_size": ' + "9" * 5000 + "}",
}
WHOLE = [
    "48",
    "",
    [],
    {},
    [48],
    48.0,
    48.5,
    True,
    -1,
    0,
    10**18,
    10**30,
    float("nan"),
    float("inf"),
]
NUMBER = ["1e-6", [], {}, True, float("nan"), float("inf"), -1.0, 10**400]
FLAG = ["true", "false", 1, 0.0, [], {}]
NAME = [7, [], {}, ["silu"], True, float("nan"), "unheard-of"]
LIST = ["full_attention", 7, {}, [7], [{}], [None], True]
OBJECT = ["default", 7, [], [{}], True]

SIZES = "vocab_size num_hidden_layers hidden_size num_attention_heads intermediate_size"
LLAMA = {
    **dict.fromkeys([*SIZES.split(), "max_position_embeddings", "num_key_value_heads"], WHOLE),
    **dict.fromkeys(["head_dim"], WHOLE),
    **dict.fromkeys(["rms_norm_eps", "rope_theta"], NUMBER),
    **dict.fromkeys(["tie_word_embeddings", "attention_bias"], FLAG),
    **dict.fromkeys(["model_type", "hidden_act"], NAME),
    **dict.fromkeys(["rope_scaling", "rope_parameters"], OBJECT),
}
FIELDS: dict[str, dict[str, list[Any]]] = {
    "qwen3": {
        **LLAMA,
        "use_sliding_window": FLAG,
        "layer_types": LIST,
        "sliding_window": ["a", []],
    },
    "llama": {**LLAMA, "mlp_bias": FLAG},
    "gpt2": {
        **dict.fromkeys(["vocab_size", "n_layer", "n_embd", "n_head", "n_positions"], WHOLE),
        "n_inner": WHOLE,
        **dict.fromkeys(["layer_norm_epsilon", "resid_pdrop"], NUMBER),
        **dict.fromkeys(["tie_word_embeddings", "bias"], FLAG),
        **dict.fromkeys(["model_type", "activation_function"], NAME),
    },
    "bert": {
        **dict.fromkeys([*SIZES.split(), "max_position_embeddings", "type_vocab_size"], WHOLE),
        **dict.fromkeys(["layer_norm_eps", "hidden_dropout_prob"], NUMBER),
        **dict.fromkeys(["model_type", "hidden_act"], NAME),
        "architectures": ["BertModel", 7, {}, [7], [{}], ["Unheard"], True],
    },
    "penstock": {
        **dict.fromkeys(["vocabulary", "layers", "d_model", "heads", "kv_heads", "hidden"], WHOLE),
        **dict.fromkeys(["head_dim", "context_length", "full_attention_every"], WHOLE),
        **dict.fromkeys(["rope_theta", "norm_epsilon", "dropout", "logit_soft_cap"], NUMBER),
        **dict.fromkeys(["tie_embeddings", "qk_norm", "bias", "next_sentence"], FLAG),
        **dict.fromkeys(["model_type", "architecture", "norm", "positions", "feed_forward"], NAME),
        "token_types": ["2", [], -1, 1.0, True],
    },
}


@pytest.fixture(scope="module", params=list(LAYOUTS))
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A layout, a folder in it, and what its config.json holds."""
    tokenizer = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    words = {f"word{number}": number for number in range(90)}
    tokenizer.write_text(
        json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": [],
                "normalizer": None,
                "pre_tokenizer": None,
                "post_processor": None,
                "decoder": None,
                "model": {"type": "WordLevel", "vocab": words, "unk_token": "word0"},
            }
        )
    )
    changes = {"layers": 2, "d_model": 48, "heads": 4, "context_length": 32}
    model = build(ModelSettings(**{**changes, **LAYOUTS[request.param]}).resolve(97))
    randomise(model)
    where = tmp_path_factory.mktemp(request.param)
    folder.save(model, where, tokenizer)
    return request.param, where, json.loads((where / "config.json").read_text())


def refused(where: Path, *named: str) -> None:
    """Reading the folder says what is wrong in one plain line."""
    with pytest.raises(BadInput) as found:
        folder.load_model(where)
    said = str(found.value)
    assert all(word in said for word in named), said
    assert len(said) < 1000 and "\n" not in said, said


def test_a_folder_as_it_was_saved_is_read(saved: Any) -> None:
    layout, where, config = saved
    (where / "config.json").write_text(json.dumps(config))
    folder.load_model(where)
    assert set(FIELDS) == set(LAYOUTS) and config["model_type"] == layout


def test_a_value_of_the_wrong_kind_is_told_with_its_field(saved: Any) -> None:
    layout, where, config = saved
    path = where / "config.json"
    for field, values in FIELDS[layout].items():
        for value in values:
            path.write_text(json.dumps({**config, field: value}))
            refused(where, str(where), field)
    path.write_text(json.dumps(config))


def test_sizes_that_do_not_go_together_are_told(saved: Any) -> None:
    layout, where, config = saved
    path = where / "config.json"
    names = {"gpt2": ("n_embd", "n_head"), "penstock": ("d_model", "heads")}
    width, heads = names.get(layout, ("hidden_size", "num_attention_heads"))
    for changes in (
        {heads: 7},
        {width: 1 << 24},
        {"vocabulary" if layout == "penstock" else "vocab_size": 1 << 24, width: 1 << 20},
    ):
        path.write_text(json.dumps({**config, **changes}))
        refused(where, str(where))
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("kind", list(NO_OBJECTS))
def test_a_config_that_is_no_object_is_told(kind: str, tmp_path: Path) -> None:
    data = NO_OBJECTS[kind]
    (tmp_path / "config.json").write_bytes(data if isinstance(data, bytes) else data.encode())
    refused(tmp_path, "config.json")
    with pytest.raises(BadInput):
        baselines.load(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize(
    "text",
    [
        *(data for data in NO_OBJECTS.values() if isinstance(data, str)),
        *('{"bos_token_id": "<s>"}', '{"bos_token_id": [1]}', '{"bos_token_id": true}'),
        *('{"bos_token_id": 1.0}', '{"bos_token_id": NaN}', '{"bos_token_id": 10000000000}'),
        *('{"bos_token_id": 1, "eos_token_id": "x"}', '{"bos_token_id": 1, "eos_token_id": ["x"]}'),
        *('{"bos_token_id": 1, "eos_token_id": {}}', '{"bos_token_id": 1, "eos_token_id": [[1]]}'),
    ],
)
def test_ids_that_are_none_are_told(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=r"config\.json"):
        delimiters(tmp_path, Tokenizer(models.WordLevel({"a": 0}, "a")), 50)


@pytest.mark.parametrize(
    ("index", "named"),
    [
        ([], "a JSON object"),
        ({}, "no file"),
        ({"weight_map": []}, "weight_map must be an object"),
        ({"weight_map": {}}, "no file"),
        ({"weight_map": {"a": 7}}, "weight_map must be a list of names"),
        ({"weight_map": {"a": ["x"]}}, "weight_map must be a list of names"),
        ({"weight_map": {"a": "../model.safetensors"}}, "'../model.safetensors'"),
        ({"weight_map": {"a": "/etc/model.safetensors"}}, "'/etc/model.safetensors'"),
        ({"weight_map": {"a": "sub/model.safetensors"}}, "'sub/model.safetensors'"),
        ({"weight_map": {"a": ".."}}, "'..'"),
        ({"weight_map": {"a": "."}}, "'.'"),
        ({"weight_map": {"a": ""}}, "''"),
        ({"weight_map": {"a": "model\0.safetensors"}}, "model"),
        ({"weight_map": {"a": "other.safetensors"}}, "has no other.safetensors"),
    ],
)
def test_an_index_names_files_of_its_own_folder(saved: Any, index: Any, named: str) -> None:
    _, where, _ = saved
    path = where / "model.safetensors.index.json"
    path.write_text(json.dumps(index))
    try:
        refused(where, named)
    finally:
        path.unlink()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model": 7}', "[" * 100_000])
def test_a_tokenizer_that_is_none_is_told(text: str, saved: Any, tmp_path: Path) -> None:
    layout, where, config = saved
    if layout == "bert":
        pytest.skip("an encoder is read without its tokenizer")
    for path in where.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(BadInput, match=r"tokenizer\.json cannot be read"):
        folder.load(tmp_path)

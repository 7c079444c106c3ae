"""Which token begins a text and which end one: as the folder says, else by name."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import GPT2Config, LlamaConfig

from llm.models.roles import delimiters
from llm.step import BadInput


def tokenizer_with(*special: str) -> Tokenizer:
    tokenizer = Tokenizer(WordLevel({f"w{number}": number for number in range(3)}))
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def test_a_folder_of_transformers_says_it_itself(tmp_path: Path) -> None:
    LlamaConfig(bos_token_id=7, eos_token_id=9).save_pretrained(tmp_path)
    found = delimiters(tmp_path, tokenizer_with("<|endoftext|>"), 50)
    assert (found.begin, found.ends) == (7, {7, 9})
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [9, 11]}')
    found = delimiters(tmp_path, tokenizer_with("<|endoftext|>"), 50)
    assert (found.begin, found.ends) == (7, {7, 9, 11})


@pytest.mark.parametrize(
    "special, begin, ends",
    [
        (("<unk>", "<s>", "</s>"), 4, {4, 5}),
        (("<s>", "</s>", "<|endoftext|>", "<|im_end|>"), 5, {5, 6}),
        (("<s>",), 3, {3}),
    ],
)
def test_a_folder_that_does_not_say_it_goes_by_names(
    special: tuple[str, ...], begin: int, ends: set[int], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"bos_token_id": null}')
    found = delimiters(tmp_path, tokenizer_with(*special), 50)
    assert (found.begin, found.ends) == (begin, ends)


def test_a_beginning_that_nobody_knows_or_has_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="give its id as bos_token_id"):
        delimiters(tmp_path, tokenizer_with(), 50)
    GPT2Config(vocab_size=50).save_pretrained(tmp_path)  # whose beginning is 50256 all the same
    assert json.loads((tmp_path / "config.json").read_text())["bos_token_id"] == 50256
    with pytest.raises(BadInput, match="bos_token_id 50256 is none of the model's 50 tokens"):
        delimiters(tmp_path, tokenizer_with(), 50)

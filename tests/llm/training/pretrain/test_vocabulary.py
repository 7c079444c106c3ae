"""A folder of transformers and its tokenizer, imported with more special tokens, to train on from."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from llm.models.config import ModelSettings
from llm.step import BadInput, Context, Inputs
from llm.tokens.imports import add_missing
from llm.tokens.special import reserved
from llm.training.pretrain import step as pretrain
from llm.training.pretrain.vocabulary import fitting_vocabulary
from llm.training.ranks import launch
from llm.training.ranks.rank import Group
from llm.training.schedule import ScheduleSettings
from tests.llm.models.random_weights import randomise
from tests.llm.training.runs import VOCABULARY, tiny_settings

WORDS = [f"w{number}" for number in range(VOCABULARY)]
LLAMA = ModelSettings(
    preset="llama", layers=2, d_model=32, heads=2, context_length=16, tie_embeddings=False
)


def write_tokenizer(folder: Path, words: Sequence[str], *groups: str) -> Path:
    """A folder with a tokenizer of these words and, when groups are given, their special tokens."""
    folder.mkdir(exist_ok=True)
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}))
    if groups:
        add_missing(tokenizer, reserved(groups))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def write_llama(folder: Path, rows: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=rows,
        hidden_size=32,
        intermediate_size=LLAMA.resolved_hidden,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        rms_norm_eps=LLAMA.norm_epsilon,
    )
    model = LlamaForCausalLM(config).eval()
    randomise(model)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("rows, larger", [(VOCABULARY, 64), (62, 64), (96, 96)])
def test_training_goes_on_from_a_folder_whose_tokenizer_got_special_tokens(
    rows: int,
    larger: int,
    inputs: Inputs,
    context: Context,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As large as its tokenizer, padded a little, or with room for all that was added."""

    def run(module: str, job: dict[str, Any], context: Context, *_: int) -> None:
        assert pretrain.train(json.loads(json.dumps(job)), Group(), context.work)

    monkeypatch.setattr(launch, "run", run)
    init = write_tokenizer(tmp_path / "init", WORDS)
    before = write_llama(init, rows)
    tokenizer = write_tokenizer(tmp_path / "tokenizer", WORDS, "chat")
    values = tiny_settings(
        model=LLAMA, init=str(init), tokens=128, schedule=ScheduleSettings(peak_lr=1e-30)
    )
    pretrain.pretrain(values, {**inputs, "tokenizer": [tokenizer], "init": [init]}, context)
    after = AutoModelForCausalLM.from_pretrained(context.out / "model")
    assert after.config.vocab_size == larger
    assert after.config.bos_token_id == VOCABULARY  # <|endoftext|>, the first that was added
    tokens = torch.randint(rows, (4, 16), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        wanted = before(tokens).logits
        torch.testing.assert_close(after(tokens).logits[..., :rows], wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("file", ["tokenizer.json", "vocab.json", "vocab.txt"])
def test_a_tokenizer_with_other_ids_is_refused_whatever_file_says_so(
    file: str, tmp_path: Path
) -> None:
    init = write_tokenizer(tmp_path, WORDS)
    if file != "tokenizer.json":
        (init / "tokenizer.json").unlink()
        numbered = json.dumps({word: number for number, word in enumerate(WORDS)})
        (init / file).write_text(numbered if file == "vocab.json" else "\n".join(WORDS) + "\n")
    same = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}))
    assert fitting_vocabulary(init, same, VOCABULARY) == VOCABULARY
    swapped = {word: number for number, word in enumerate([WORDS[1], WORDS[0], *WORDS[2:]])}
    with pytest.raises(BadInput, match="token 0, 'w0', has id 1 there; use the folder's"):
        fitting_vocabulary(init, Tokenizer(WordLevel(swapped)), VOCABULARY)


@pytest.mark.parametrize("has_tokenizer", [True, False])
def test_more_words_than_were_added_as_special_tokens_are_refused(
    has_tokenizer: bool, tmp_path: Path
) -> None:
    init = write_tokenizer(tmp_path / "init", WORDS)
    if not has_tokenizer:
        (init / "tokenizer.json").unlink()
    path = write_tokenizer(tmp_path / "larger", [*WORDS, "one", "two"], "chat")
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    with pytest.raises(BadInput, match=r"60 embeddings and does not know .* 60, 'one'.*import: "):
        fitting_vocabulary(init, tokenizer, VOCABULARY)

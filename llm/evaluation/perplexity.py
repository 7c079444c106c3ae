"""Bits per byte of the validation text: how many bits the model needs for each byte of it.

Unlike loss per token it does not depend on the tokenizer, so models, n-grams and compressors stand
on one axis. Each document is encoded alone, after <|endoftext|>, which is context and not scored;
special tokens that stand in the text are read as plain characters, so every byte is paid for.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Tokenizer

from llm.corpus.documents import by_identity, content_digest, write_table
from llm.durable import write_json
from llm.evaluation.measured import MEASURED, by_source, totals
from llm.evaluation.perplexity_settings import MeasurePerplexity, PerplexitySettings
from llm.evaluation.scoring import score
from llm.evaluation.texts import HeldOut, held_out
from llm.models import folder as model_folder
from llm.models.decoder import Decoder
from llm.step import BadInput, Context, Inputs, StepResult, digest_of
from llm.tokens.plain_text import encode_texts
from llm.tokens.special import END_OF_TEXT
from llm.training import devices
from llm.words import counted

LIBRARIES = ("torch", "tokenizers")

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def measure(values: MeasurePerplexity, inputs: Inputs, context: Context) -> StepResult:
    """Score the validation documents: documents.parquet (MEASURED) and metrics.json.

    inputs: model (one artifact with model/), documents (all written shards). Raises BadInput where
    no document is held out or the context is longer than the model's.
    """
    settings = values.settings
    documents = held_out(
        inputs["documents"], values.validation_fraction, settings.documents_limit_bytes
    )
    folder = inputs["model"][0] / "model"
    model, tokenizer = model_folder.load(
        folder, devices.choose(context.machine.device), PRECISIONS[settings.precision]
    )
    length, stride = window_of(model, settings, folder)
    texts = encode(tokenizer, [document.text.decode() for document in documents])

    def progress(done: int, total: int) -> None:
        context.report.progress(done, total, "tokens")

    nats = score(model, texts, length, stride, progress=progress)
    table = by_identity(_table(documents, nats))
    write_table(context.out / "documents.parquet", table)
    protocol = _protocol(documents, length, stride, settings.precision)
    metrics = {**totals(table), "by_source": by_source(table)}
    write_json(
        context.out / "metrics.json",
        {**metrics, "context_length": length, "stride": stride, "protocol": protocol},
    )
    context.report.table("perplexity", _rows(metrics), protocol)
    return StepResult(
        counts={key: metrics[key] for key in ("bits_per_byte", "documents", "bytes", "tokens")},
        content=digest_of([content_digest(table), protocol]),
        summary=f"{metrics['bits_per_byte']:.3f} bits/byte on {counted(metrics['documents'], 'document')}",
    )


def window_of(model: Decoder, settings: PerplexitySettings, folder: Path) -> tuple[int, int]:
    """Context length and stride in tokens, resolved. Raises BadInput for more than the model has."""
    longest = model.config.context_length
    length = settings.context_length or longest
    if length > longest:
        raise BadInput(
            f"evaluate.perplexity.context_length {length} is more than the {longest} tokens of "
            f"{folder}: lower it, or leave it out"
        )
    stride = settings.stride or max(1, length // 2)
    if stride > length:
        raise BadInput(
            f"evaluate.perplexity.stride {stride} is more than the context of {length} tokens of "
            f"{folder}: lower it, or leave it out"
        )
    return length, stride


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    """Ids of each text after <|endoftext|>: (1 + tokens,) int64."""
    start = tokenizer.token_to_id(END_OF_TEXT)
    if start is None:
        raise BadInput(f"the model's tokenizer has no {END_OF_TEXT}, which starts every document")
    encoded = encode_texts(tokenizer, texts)
    return [np.array([start, *encoding.ids], dtype=np.int64) for encoding in encoded]


def _table(documents: Sequence[HeldOut], nats: Sequence[np.ndarray]) -> pa.Table:
    return pa.table(
        {
            "doc_id": [document.doc_id for document in documents],
            "source": [document.source for document in documents],
            "bytes": [len(document.text) for document in documents],
            "tokens": [len(each) for each in nats],
            "bits": [float(each.sum()) / math.log(2) for each in nats],
        },
        schema=MEASURED,
    )


def _rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    every = {"all": metrics, **metrics["by_source"]}
    return [
        {
            "source": source,
            "bits per byte": round(totals["bits_per_byte"], 4),
            "documents": totals["documents"],
            "bytes": totals["bytes"],
            "tokens": totals["tokens"],
        }
        for source, totals in every.items()
    ]


def _protocol(documents: Sequence[HeldOut], length: int, stride: int, precision: str) -> str:
    size = sum(len(document.text) for document in documents)
    return (
        f"bits per byte over {counted(len(documents), 'validation document')}; bytes are the {size} bytes of "
        f"their UTF-8 text; each document alone after {END_OF_TEXT}, which is context and not "
        f"counted; context of {length} tokens in windows {stride} tokens apart; {precision}"
    )

"""Compile every pass over text ahead of time: `python -m llm.corpus.compile`, a part of the set-up.

Otherwise the first run does it, which takes some twenty seconds.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from llm.corpus.dedup import DedupSettings, find_duplicates, signature_settings
from llm.corpus.documents import EXTRACTED, document_id, write_table
from llm.corpus.near.signatures import sign
from llm.corpus.signals import SignalSettings, measure
from llm.corpus.text.perplexity import perplexities, train
from llm.step import Context


def main() -> None:
    """Measure, sign and compare a few documents."""
    words = [f"word{number}" for number in range(200)]
    texts = [" ".join(words), " ".join([*words, "more"]), " ".join([*words[5:], "less"])]
    rows = [
        {"doc_id": document_id("s", str(at), text), "url": str(at), "source": "s", "text": text}
        | {"language": "en", "language_score": 1.0, "licence": "", "opt_out": ""}
        for at, text in enumerate(texts)
    ]
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_table(folder / "documents.parquet", pa.Table.from_pylist(rows, schema=EXTRACTED))

        def context(step: str) -> Context:
            out, work = folder / step, folder / f"{step}-work"
            out.mkdir()
            work.mkdir()
            return Context(out=out, work=work)

        measure(SignalSettings(), {"documents": [folder]}, context("signals"))
        settings = DedupSettings()
        sign(signature_settings(settings), {"documents": [folder]}, context("signatures"))
        found = {"signatures": [folder / "signatures"]}
        find_duplicates(settings, found, context("duplicates"))
        train(texts, folder / "model.npz")
        perplexities(pa.array(texts, pa.large_string()), str(folder / "model.npz"))


if __name__ == "__main__":
    main()

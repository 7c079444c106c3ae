"""Small written shards for the evaluation tests."""

from pathlib import Path

import pyarrow as pa

from llm.corpus.documents import DOCUMENTS, document_id, hash64, write_table


def write_documents(folder: Path, texts: dict[str, str], source: str = "docs") -> Path:
    """An artifact of `write` with one document per URL; returns its folder."""
    rows = [
        {
            "doc_id": document_id(source, url, text),
            "url": url,
            "source": source,
            "language": "en",
            "language_score": 1.0,
            "split_key": hash64(url),
            "text": text,
        }
        for url, text in texts.items()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / "documents.parquet", pa.Table.from_pylist(rows, schema=DOCUMENTS))
    return folder

"""Quotations are found in any file of a store, whatever their script and however they are written."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tasks.commands.search import holds, pieces

# From the Universal Declaration of Human Rights, article 1.
TEXTS = {
    "en": "All human beings are born free and equal in dignity and rights. They are endowed with.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "zh": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。",
    "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "ar": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
    "th": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
}


def written(path: Path, text: str, form: str) -> Path:
    match form:
        case "escaped":
            path.write_text(json.dumps({"quote": text}))
        case "utf-8":
            path.write_text(json.dumps({"quote": text}, ensure_ascii=False), "utf8")
        case "gzip":
            path.write_bytes(gzip.compress(text.encode()))
        case "zstd":
            path.write_bytes(zstandard.compress(json.dumps(text).encode()))
        case "parquet":
            pq.write_table(pa.table({"text": [text]}), path)
    return path


@pytest.mark.parametrize("form", ["escaped", "utf-8", "gzip", "zstd", "parquet"])
@pytest.mark.parametrize("language", TEXTS)
def test_a_quotation_in_any_script_is_found(tmp_path: Path, language: str, form: str) -> None:
    text = TEXTS[language]
    wanted = pieces(text, 2)
    assert wanted and all(len(one) >= 24 for one in wanted)
    assert holds(written(tmp_path / "it", f"Before. {text} After.", form), wanted)
    others = " ".join(other for name, other in TEXTS.items() if name != language)
    assert not holds(written(tmp_path / "other", others, form), wanted)


def test_of_little_text_nothing_is_looked_for() -> None:
    for text in ("", "short", "中文。", "Да.", "\ud800" * 40, "…" * 40, "    " * 40):
        assert pieces(text, 2) == []
    assert not holds(Path("nowhere"), [])

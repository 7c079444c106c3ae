"""Language identification on single sentences: macro accuracy and F1, share of "und", MB/s a core; and MB/s of
whole documents (the sentences of a language in one).

    python benchmarks/language.py [--peers] [--sentences FILE]

Without FILE: paragraphs of the Declaration of Human Rights in lingua's 75 languages, of the shared
data. FILE holds JSON {language: [sentence, ...]}. --peers adds lingua's low-accuracy mode and
py3langid, in the environment of `make bench-setup`. Prints a line for each, and last one of JSON.
"""

import argparse
import json
import os
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from llm.corpus.language import identify, load  # noqa: E402

DECLARATIONS = ROOT.parent / "shared" / "data" / "lm" / "udhr2" / "udhr2.zip"

# lingua's languages, and the files of the Declaration that are in them (there is no Telugu one).
FILES = dict(
    pair.split("=")
    for pair in [
        "af=afr",
        "ar=arb",
        "az=azj_latn",
        "be=bel",
        "bg=bul",
        "bn=ben",
        "bs=bos_latn",
        "ca=cat",
        "cs=ces",
        "cy=cym",
        "da=dan",
        "de=deu",
        "el=ell_monotonic",
        "en=eng",
        "eo=epo",
        "es=spa",
        "et=est",
        "eu=eus",
        "fa=pes",
        "fi=fin",
        "fr=fra",
        "ga=gle",
        "gu=guj",
        "he=heb",
        "hi=hin",
        "hr=hrv",
        "hu=hun",
        "hy=hye",
        "id=ind",
        "is=isl",
        "it=ita",
        "ja=jpn",
        "ka=kat",
        "kk=kaz",
        "ko=kor",
        "la=lat",
        "lg=lug",
        "lt=lit",
        "lv=lav",
        "mi=mri",
        "mk=mkd",
        "mn=khk",
        "mr=mar",
        "ms=zlm",
        "nb=nob",
        "nl=nld",
        "nn=nno",
        "pa=pan",
        "pl=pol",
        "pt=por",
        "ro=ron",
        "ru=rus",
        "sk=slk",
        "sl=slv",
        "sn=sna",
        "so=som",
        "sq=als",
        "sr=srp",
        "st=sot",
        "sv=swe",
        "sw=swh",
        "ta=tam",
        "te=tel",
        "th=tha",
        "tl=tgl",
        "tn=tsn",
        "tr=tur",
        "ts=tso",
        "uk=ukr",
        "ur=urd",
        "vi=vie",
        "xh=xho",
        "yo=yor",
        "zh=cmn_hans",
        "zu=zul",
    ]
)
# Codes of the peers for the same language.
_SAME = {"no": "nb", "iw": "he", "fil": "tl"}


def declarations() -> dict[str, list[str]]:
    """Paragraphs by language, without titles."""
    found = {}
    with zipfile.ZipFile(DECLARATIONS) as archive:
        names = {Path(name).stem: name for name in sorted(archive.namelist(), reverse=True)}
        for code, stem in FILES.items():
            name = next((names[one] for one in sorted(names) if one.startswith(stem)), None)
            if name is None:
                print(f"no declaration in {code}", file=sys.stderr)
                continue
            lines = archive.read(name).decode("utf-8", "replace").splitlines()[8:]
            shortest = 10 if code in ("zh", "ja", "ko", "th") else 30
            found[code] = [line.strip() for line in lines if len(line.strip()) >= shortest]
    return found


def ours(text: str) -> str:
    return identify(text).code


def peers() -> dict[str, Callable[[str], str]]:
    import py3langid
    from lingua import LanguageDetectorBuilder

    py3langid.classify("Any text will do.")
    built = LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()

    built.detect_language_of("Any text will do.")

    def lingua(text: str) -> str:
        found = built.detect_language_of(text)
        return found.iso_code_639_1.name.lower() if found else "und"

    return {"lingua (low)": lingua, "py3langid": lambda text: str(py3langid.classify(text)[0])}


def measure(side: Callable[[str], str], sentences: dict[str, list[str]]) -> dict[str, float]:
    size = sum(len(one.encode()) for those in sentences.values() for one in those) / 1e6
    start = time.process_time()
    answers = {code: [side(one) for one in those] for code, those in sentences.items()}
    seconds = time.process_time() - start
    documents = ["\n".join(those)[:20_000] for those in sentences.values()] * 3
    start = time.process_time()
    for document in documents:
        side(document)
    long_seconds = time.process_time() - start
    long_size = sum(len(document.encode()) for document in documents) / 1e6
    named: Counter[str] = Counter()
    right: dict[str, int] = {}
    for code, those in answers.items():
        unified = [_SAME.get(one, one) for one in those]
        named.update(unified)
        right[code] = unified.count(code)
    count = sum(map(len, sentences.values()))
    accuracies = [right[code] / len(those) for code, those in sentences.items()]
    scores = [2 * right[code] / (len(those) + named[code]) for code, those in sentences.items()]
    return {
        "accuracy": round(sum(accuracies) / len(accuracies), 4),
        "f1": round(sum(scores) / len(scores), 4),
        "und": round(named["und"] / count, 4),
        "wrong": round(1 - (sum(right.values()) + named["und"]) / count, 4),
        "mb_per_second": round(size / seconds, 2),
        "mb_per_second_of_documents": round(long_size / long_seconds, 2),
    }


def calibration(sentences: dict[str, list[str]]) -> dict[str, float]:
    """How often an answer of ours is right, by its score, from each tenth to the next."""
    counts: Counter[int] = Counter()
    right: Counter[int] = Counter()
    for code, those in sentences.items():
        for found in map(identify, those):
            tenth = min(9, int(found.score * 10))
            counts[tenth] += 1
            right[tenth] += found.code == code
    return {str(tenth / 10): round(right[tenth] / counts[tenth], 3) for tenth in sorted(counts)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--sentences", type=Path)
    options = parser.parse_args()
    if options.sentences:
        sentences = json.loads(options.sentences.read_text("utf-8"))
    elif DECLARATIONS.is_file():
        sentences = declarations()
    else:
        parser.error(f"no shared data at {DECLARATIONS}: name a file with --sentences")
    if hasattr(os, "sched_setaffinity"):  # the peers would use all cores
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    load()
    sides = {"penstock": ours} | (peers() if options.peers else {})
    results = {name: measure(function, sentences) for name, function in sides.items()}
    for name, figures in results.items():
        print(f"{name:<14}" + "  ".join(f"{key} {value}" for key, value in figures.items()))
    scores = calibration(sentences)
    print("right by score:", *(f"{tenth}: {share}" for tenth, share in scores.items()))
    count = sum(map(len, sentences.values()))
    print(
        json.dumps(
            {"languages": len(sentences), "sentences": count, "right_by_score": scores, **results}
        )
    )


if __name__ == "__main__":
    main()

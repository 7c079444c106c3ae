"""The tokenizer stage with a tokenizer brought along: any of the usual files → `tokenizer.json`."""

from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from llm.durable import write_bytes
from llm.step import BadInput, Context, Inputs, StepResult, digest_of
from llm.tokens.formats.gpt2 import NAMES, read_gpt2
from llm.tokens.formats.llama2c import read_llama2c
from llm.tokens.formats.sentencepiece import read_sentencepiece
from llm.tokens.formats.tiktoken import read_tiktoken
from llm.tokens.report import report
from llm.tokens.special import reserved
from llm.tokens.tokenizer import TrainTokenizer

LIBRARIES = ("tokenizers",)

KINDS = (
    "tokenizer.json, vocab.json with merges.txt, encoder.json with vocab.bpe, ranks (.tiktoken), "
    "a SentencePiece model (.model), or llama2.c's file (.bin)"
)
ENDINGS = (".json", ".tiktoken", ".model", ".bin")


def tokenizer_files(path: Path) -> tuple[Path, ...]:
    """The files that make up the tokenizer at `path`, a file or a folder with one.

    Raises BadInput where there is none, or more than one could be meant.
    """
    if path.is_dir():
        if (path / "tokenizer.json").is_file():
            return (path / "tokenizer.json",)
        for names in NAMES:
            if all((path / name).is_file() for name in names):
                return tuple(path / name for name in names)
        found = sorted(item for ending in ENDINGS[1:] for item in path.glob(f"*{ending}"))
        found = [item for item in found if not item.name.startswith("pytorch_model")]
        if len(found) == 1:
            return (found[0],)
        few = f"several ({', '.join(item.name for item in found)}): name one" if found else "none"
        raise BadInput(f"tokenizer.import: of the tokenizers that can be read, {path} holds {few}; "
                       f"known are {KINDS}")  # fmt: skip
    if not path.is_file():
        raise BadInput(f"tokenizer.import: there is no file or folder {path}")
    for names in NAMES:
        if path.name in names:
            return (
                tokenizer_files(path.parent)
                if not (path.parent / "tokenizer.json").exists()
                else (tuple(path.parent / name for name in names))
            )
    if path.suffix not in ENDINGS:
        raise BadInput(f"tokenizer.import: {path} is of no known kind; known are {KINDS}")
    return (path,)


def read_tokenizer(files: tuple[Path, ...], pattern: str | None) -> Tokenizer:
    """Read one of the known kinds; `pattern` is for ranks that are not known. Raises BadInput naming the file."""
    if len(files) == 2:
        return read_gpt2(*files)
    [path] = files
    if path.suffix == ".tiktoken":
        return read_tiktoken(path, pattern)
    if path.suffix == ".model":
        return read_sentencepiece(path)
    if path.suffix == ".bin":
        return read_llama2c(path)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise BadInput(f"tokenizer.import: {path} cannot be read: {error}") from error
    # Whole documents are encoded, and as many tokens as they have.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def add_missing(tokenizer: Tokenizer, needed: tuple[str, ...]) -> list[str]:
    """Add the special tokens that are needed and not there, at the end; returns which."""
    missing = [name for name in needed if tokenizer.token_to_id(name) is None]
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in needed])
    return missing


def import_tokenizer(values: TrainTokenizer, inputs: Inputs, context: Context) -> StepResult:
    """Read the user's tokenizer, add the special tokens that it lacks, measure it on the documents.

    Writes `tokenizer.json` and `stats.json`; ids of the tokens that it had stay what they were.
    """
    settings = values.settings
    tokenizer = read_tokenizer(tuple(inputs["imported"]), settings.pattern)
    added = add_missing(tokenizer, reserved(settings.reserve))
    if added:
        context.report.info(f"added to the imported tokenizer: {', '.join(added)}")
    text = tokenizer.to_str(pretty=True).encode()
    write_bytes(context.out / "tokenizer.json", text)
    stats = report(
        tokenizer, inputs["documents"], values.validation_fraction, context.out, context.report
    )
    size = tokenizer.get_vocab_size()
    more = f", {len(added)} of them added" if added else ""
    return StepResult(
        counts={"vocabulary": size, "added": len(added), "sources": stats["sources"]},
        content=digest_of([text]),
        summary=f"{size:,} tokens{more}, {stats['bytes_per_token']:.2f} bytes a token",
    )

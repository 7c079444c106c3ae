"""How text is cut into the pieces that a vocabulary's tokens never cross: the rules by name."""

from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers

# Numbers in groups of at most three digits, a symbol may lead a word, line ends stay with the
# symbols before them.
_BY_THREES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

PATTERNS = {
    # GPT-2 (openai/gpt-2, encoder.py): contractions, words, numbers and symbols with the space
    # before them, then white space.
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    # GPT-4 (openai/tiktoken, cl100k_base).
    "gpt4": _BY_THREES,
    # Llama 3 (meta-llama/llama3, tokenizer.py): the rule of GPT-4, under the name it is looked for.
    "llama3": _BY_THREES,
    # GPT-4o (openai/tiktoken, o200k_base): words begin again at a capital, and keep a contraction.
    "o200k": (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}

LEARNED_DEFAULT = "gpt4"  # the rule that a vocabulary is learned with unless another is named


def cut_into_bytes(tokenizer: Tokenizer, pattern: str) -> None:
    """Make a tokenizer cut text by a pattern and spell each piece's bytes as GPT-2 does, and back."""
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()


def bytes_shown() -> dict[int, str]:
    """The visible character that stands for each byte (openai/gpt-2, encoder.py), by byte."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    shown = {byte: chr(byte) for byte in visible}
    return shown | {byte: chr(256 + place) for place, byte in enumerate(hidden)}

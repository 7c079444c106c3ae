"""Compile the passes that learn vocabularies ahead of time: `python -m llm.tokens.compile`, in the set-up.

Otherwise the first run does it, which takes some twenty seconds.
"""

from llm.tokens.bpe import train_bpe
from llm.tokens.unigram import train_unigram

TEXTS = ["some words", "and some more words"]


def main() -> None:
    """Learn vocabularies from a few words, for each pattern with passes of its own."""
    for pattern in ("gpt2", "gpt4"):
        train_bpe([TEXTS], 262, pattern)
    train_unigram([TEXTS], 257, "gpt4", [])


if __name__ == "__main__":
    main()

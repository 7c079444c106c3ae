"""Compile the passes that learn vocabularies ahead of time: `python -m llm.tokens.compile`, in the set-up.

Otherwise the first run does it, which takes some twenty seconds.
"""

from llm.tokens.bpe import train_bpe


def main() -> None:
    """Learn a vocabulary from a few words, for each pattern with passes of its own."""
    for pattern in ("gpt2", "gpt4"):
        train_bpe([["some words", "and some more words"]], 262, pattern)


if __name__ == "__main__":
    main()

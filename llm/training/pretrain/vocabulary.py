"""Whether a tokenizer fits the model that `pretrain.init` names: the same tokens, and added ones."""

import json
from pathlib import Path

from tokenizers import Tokenizer

from llm.step import BadInput


def fitting_vocabulary(init: Path, tokenizer: Tokenizer, rows: int) -> int:
    """How many tokens a model from the folder `init` (`rows` embeddings) must have, at least `rows`.

    Tokens that were added to the folder's own take rows that it has left over (a padded
    vocabulary), then new ones. Raises BadInput where a token has another id in the folder, or where
    one that the model cannot know is no added token but one that text is cut into.
    """
    ids = tokenizer.get_vocab()
    own = own_ids(init)
    cure = f"use the folder's (tokenizer: {{import: {init}}}), or drop init"
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    moved = sorted((number, token) for token, number in own.items() if ids.get(token) != number)
    if moved:
        number, token = moved[0]
        here = f"has id {ids[token]}" if token in ids else "is unknown"
        raise BadInput(
            f"pretrain.init: {init} was trained with another tokenizer than the recipe's: its token "
            f"{number}, {token!r}, {here} there; {cure}"
        )
    for token, number in sorted(ids.items(), key=lambda item: item[1]):
        unknown = number >= rows or (own and token not in own)
        if unknown and token not in added:
            raise BadInput(
                f"pretrain.init: {init} has {rows:,} embeddings and does not know the recipe's token "
                f"{number}, {token!r}, which is no special token that was added: its tokenizer is "
                f"another one; {cure}"
            )
    return max(rows, 1 + max(ids.values()))


def own_ids(folder: Path) -> dict[str, int]:
    """Ids of the tokens that a model folder comes with; none where no file says so."""
    whole, table, lines = (folder / name for name in ("tokenizer.json", "vocab.json", "vocab.txt"))
    if whole.is_file():
        return Tokenizer.from_file(str(whole)).get_vocab()
    if table.is_file():  # GPT-2's
        found: dict[str, int] = json.loads(table.read_text("utf8"))
        return found
    if lines.is_file():  # BERT's
        words = lines.read_text("utf8").removesuffix("\n").split("\n")
        return {word: number for number, word in enumerate(words)}
    return {}

"""Ids of a vocabulary."""

from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from llm.tokens.special import id_count


def test_ids_are_counted_to_the_highest_where_an_imported_vocabulary_has_gaps() -> None:
    tokenizer = Tokenizer(WordLevel({"a": 0, "b": 5}, "a"))
    assert tokenizer.get_vocab_size() == 2
    assert id_count(tokenizer) == 6
    tokenizer.add_special_tokens(["<end>"])
    assert id_count(tokenizer) == 1 + max(5, tokenizer.token_to_id("<end>"))

"""The task instruct: conversations, of which the answers are learned."""

from collections.abc import Iterator

from tokenizers import Tokenizer

from llm.examples.settings import CONVERSATIONS
from llm.examples.shards import Shard, place
from llm.step import BadInput
from llm.tokens.chat import BadConversation, encode_conversations
from llm.training.finetune.packed import Encoded


def encode(shard: Shard, tokenizer: Tokenizer) -> Iterator[Encoded]:
    """The conversations of a shard in the chat template. Raises BadInput naming file and line."""
    for chunk in shard.chunks(CONVERSATIONS):
        try:
            for ids, learn in encode_conversations(tokenizer, [one.cells[0] for one in chunk]):
                yield Encoded(ids, learn)
        except BadConversation as error:
            raise BadInput(f"{place(chunk[error.number])}: {error}") from error
        except ValueError as error:
            raise BadInput(f"the model's tokenizer cannot encode conversations: {error}") from error

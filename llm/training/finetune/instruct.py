"""The task instruct: a model learns to answer, from conversations of which the answers are learned."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llm.examples.settings import CONVERSATIONS, Column
from llm.settings import section, setting
from llm.training.finetune.sequences import Sequences
from llm.training.finetune.settings import FinetuneSettings
from llm.training.finetune.task import Setup

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from llm.examples.shards import Example, Shard
    from llm.training.finetune.claims import Claim, Claims
    from llm.training.finetune.packed import Encoded
    from llm.training.finetune.pairs import Pair


@section
class InstructSettings(FinetuneSettings):
    """A base model learns to answer."""

    task: Literal["instruct"] = setting(
        default="instruct", description="Kind of task: instruct learns to answer.", usual=True
    )
    data: str = setting(
        description="Conversations: builtin:python-questions, or files (a path, * allowed; JSON lines, JSON, CSV, "
        "TSV, Parquet) with rows of messages, prompt and response, or instruction, input and output.",
        path="file",
    )


class Instruct(Sequences):
    """Conversations in the chat template; learned are the answers and what closes them.

    Of an encoder-decoder each answer is a target, whose source is the conversation up to it.
    """

    settings = InstructSettings
    architectures = ("decoder", "encoder_decoder")
    reserves = ("chat",)

    def columns(self, values: InstructSettings) -> Sequence[Column]:
        """Conversations."""
        return CONVERSATIONS

    def chat_template(self) -> str:
        """The template of the ids that are learned."""
        from llm.tokens.chat import CHAT_TEMPLATE

        return CHAT_TEMPLATE

    def encode(
        self, values: InstructSettings, shard: "Shard", tokenizer: "Tokenizer"
    ) -> "Iterator[Encoded]":
        """The conversations of a shard in the chat template."""
        from llm.examples.in_chat import in_chat
        from llm.training.finetune.packed import Encoded

        return (Encoded(one.ids, one.learn) for one in in_chat(shard, tokenizer))

    def pairs(
        self, values: InstructSettings, shard: "Shard", tokenizer: "Tokenizer"
    ) -> "Iterator[Pair]":
        """Each learned answer, and the conversation before it with the opening of the answer."""
        from llm.examples.in_chat import in_chat, turns
        from llm.training.finetune.pairs import Pair

        for number, (_, ids, learn) in enumerate(in_chat(shard, tokenizer)):
            for begin, end in turns(learn):
                yield Pair(ids[:begin], ids[begin:end], number)

    def claims(self, setup: Setup, folder: Path) -> "Claims":
        """The conversation in the folder's template, and its answers; a pair ends where an answer begins."""
        from llm.tokens.template import ChatTemplate
        from llm.training.finetune.claims import Claim

        template = ChatTemplate.of(folder)
        assert template is not None, "the task writes one"
        in_pairs = setup.base.config.architecture == "encoder_decoder"

        def of(example: "Example") -> "Sequence[Claim]":
            [messages] = example.cells
            said = [
                (place, one["content"].strip())
                for place, one in enumerate(messages)
                if one.get("train", one["role"] == "assistant")
            ]
            if not in_pairs:
                answers = [text for _, text in said]
                return [Claim(text=template.render(messages), answers=answers)]
            return [
                Claim(
                    # The template opens answers of the assistant alone.
                    text=template.render(messages[:place], ask=True)
                    if messages[place]["role"] == "assistant"
                    else None,
                    answers=[text],
                )
                for place, text in said
            ]

        return of

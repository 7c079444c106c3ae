"""The chat template of a model folder, rendered as transformers renders it (`apply_chat_template`)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llm.step import BadInput

LIBRARIES = ("jinja2",)
FILE = "tokenizer_config.json"
SPECIAL = ("bos_token", "eos_token", "pad_token")


class ChatTemplate:
    """A template, and the special tokens that it may name."""

    def __init__(self, source: str, special: Mapping[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        self._template, self._special = environment.from_string(source), special

    @classmethod
    def of(cls, folder: Path) -> "ChatTemplate | None":
        """That of a model folder; None where it has none. Raises BadInput for one that is no template."""
        path = folder / FILE
        fields = json.loads(path.read_text("utf8")) if path.is_file() else {}
        source = fields.get("chat_template")
        if not isinstance(source, str):
            return None
        try:
            return cls(source, {name: fields[name] for name in SPECIAL if name in fields})
        except TemplateError as error:
            raise BadInput(f"{path}: chat_template cannot be read: {error}") from error

    def render(self, messages: Sequence[Mapping[str, Any]], ask: bool = False) -> str:
        """The text of messages (role, content). ask: with the opening of an answer behind them.

        Raises BadInput where the template fails.
        """
        try:
            return self._template.render(
                messages=messages, add_generation_prompt=ask, **self._special
            )
        except TemplateError as error:
            raise BadInput(f"the chat template fails on {messages!r:.200}: {error}") from error

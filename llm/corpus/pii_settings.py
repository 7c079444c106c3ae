"""The kinds of personal data that can be masked."""

from typing import Literal, get_args

Kind = Literal["email", "ip", "phone", "credit_card", "iban", "secret"]


KINDS: tuple[Kind, ...] = get_args(Kind)

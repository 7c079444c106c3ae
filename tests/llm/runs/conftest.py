"""Stores of every kind, for records that lie in them."""

from tests.llm.stores import make_store, object_kind, s3

__all__ = ["make_store", "object_kind", "s3"]

"""Stores of every kind."""

from tests.llm.stores import kind, make_store, object_kind, s3, store

__all__ = ["kind", "make_store", "object_kind", "s3", "store"]

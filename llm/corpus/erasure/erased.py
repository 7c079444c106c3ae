"""What a purge leaves in a shard that it took documents out of."""

ERASED = "erased.json"
"""In an extracted shard: ids (hex) of the documents that a purge took out of it, sorted."""

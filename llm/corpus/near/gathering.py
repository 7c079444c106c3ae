"""The documents that duplicates are sought among: tonight's, and of earlier nights what matters.

Of earlier documents only those matter that are kept and share an identity, a text, a MinHash key or
(where that is asked for) an address with one of tonight's; the rest are read past, one folder and
one band at a time.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from llm.corpus.documents import DOC_ID, batches, identities
from llm.corpus.near.signatures import Signatures, SignatureSettings
from llm.step import BadInput, Inputs

# What is read of the documents that an earlier night wrote.
_KEPT = pa.schema([("doc_id", DOC_ID)])


class Gathered:
    """G documents by position: those of earlier nights, tonight's, then planted ones.

    ids (G,) S16; order (G,) positions, best first, in the same three parts: earlier ones win over
    tonight's, and each is ranked by length, then by the length of its address, then by identity.
    """

    def __init__(self, settings: SignatureSettings, inputs: Inputs, url: bool = False) -> None:
        """url: earlier documents of the same address matter too.

        Raises BadInput where folders are signed otherwise than `settings`.
        """
        self.tonight = Signatures(inputs["signatures"], settings)
        self.planted = Signatures(inputs.get("planted", ()), settings)
        self._earlier = Signatures(inputs.get("earlier", ()), settings)
        own = self.tonight.digests("doc_id")
        _check_once(own)
        self._rows = self._relevant(own, settings.bands, url, inputs.get("kept", ()))
        self.ids = np.concatenate(
            [self._earlier.digests_of("doc_id", self._rows), own, self.planted.digests("doc_id")]
        )
        self.fixed = len(self._rows)
        self.guests = self.fixed + len(self.tonight)
        sizes, addresses = self.numbers("bytes"), self.numbers("url_bytes")
        part = np.zeros(len(self.ids), np.int8)
        part[self.fixed :] += 1
        part[self.guests :] += 1
        self.order = np.lexsort((self.ids, addresses, -sizes, part))

    def __len__(self) -> int:
        return len(self.ids)

    def numbers(self, name: str) -> np.ndarray:
        """A column of figures (G,)."""
        own = self._earlier.numbers_of(name, self._rows)
        return np.concatenate([own, self.tonight.numbers(name), self.planted.numbers(name)])

    def digests(self, name: str) -> np.ndarray:
        """A column of digests (G,) S16."""
        own = self._earlier.digests_of(name, self._rows)
        return np.concatenate([own, self.tonight.digests(name), self.planted.digests(name)])

    def band(self, band: int) -> np.ndarray:
        """One band's keys (G,) uint64."""
        own = self._earlier.band_of(band, self._rows)
        return np.concatenate([own, self.tonight.band(band), self.planted.band(band)])

    def shingles(self, positions: np.ndarray) -> Iterator[bytes]:
        """The shingles of each of these documents (positions ascending)."""
        first, last = np.searchsorted(positions, [self.fixed, self.guests])
        return chain(
            self._earlier.shingles(self._rows[positions[:first]]),
            self.tonight.shingles(positions[first:last] - self.fixed),
            self.planted.shingles(positions[last:] - self.guests),
        )

    def _relevant(self, own: np.ndarray, bands: int, url: bool, kept: Sequence[Path]) -> np.ndarray:
        """Earlier documents, kept, that share something with tonight's: rows, ascending."""
        found = np.zeros(len(self._earlier), bool)
        folders = range(len(self._earlier.folders))
        for name in ("doc_id", "text_digest", *(["url_digest"] if url else [])):
            mine = own if name == "doc_id" else self.tonight.digests(name)
            wanted = np.sort(_heads(mine))
            for folder in folders:
                theirs = _heads(self._earlier.digests(name, folder))
                found[self._earlier.rows(folder)] |= _among(wanted, theirs)
        for band in range(bands if folders else 0):
            keys = np.sort(self.tonight.band(band))
            for folder in folders:
                found[self._earlier.rows(folder)] |= _among(keys, self._earlier.band(band, folder))
        rows = np.flatnonzero(found)
        ids, first = np.unique(self._earlier.digests_of("doc_id", rows), return_index=True)
        stays = np.zeros(len(ids), bool)
        if len(ids):
            for batch in batches(kept, ["doc_id"], _KEPT):
                theirs = identities(batch["doc_id"])
                at = np.minimum(np.searchsorted(ids, theirs), len(ids) - 1)
                stays[at[ids[at] == theirs]] = True
        return np.sort(rows[first[stays]])


def _heads(digests: np.ndarray) -> np.ndarray:
    """The first 8 bytes of each digest, as a number."""
    return np.ascontiguousarray(digests).view(np.uint64)[::2]


def _among(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Which values are among the sorted ones (V,) bool."""
    if not len(ordered):
        return np.zeros(len(values), bool)
    return ordered[np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)] == values


def _check_once(ids: np.ndarray) -> None:
    ordered = np.sort(ids)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        raise BadInput(
            f"document {twice[:1].tobytes().hex()} comes more than once among a night's shards; "
            "give each shard once"
        )

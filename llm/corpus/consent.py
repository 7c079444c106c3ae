"""What the authors of pages let be done with them: filters on opt-out words and licences."""

from fnmatch import fnmatchcase

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llm.corpus.consent_settings import ConsentSettings

OPT_OUT, LICENCE = "opt_out", "licence"


def refusals(
    settings: ConsentSettings, opt_out: pa.ChunkedArray, licence: pa.ChunkedArray
) -> tuple[list[str], np.ndarray]:
    """Which document fails which rule: (names of R rules, (D, R) bool), as `filters.failures`."""
    names, columns = [], []
    if settings.respect:
        wanted = set(settings.respect)
        words = pc.unique(opt_out).to_pylist()
        refused = pa.array([word for word in words if wanted & set((word or "").split())])
        names.append(OPT_OUT)
        columns.append(pc.is_in(opt_out, value_set=refused.cast(pa.string())).to_numpy())
    if settings.licences:
        found = pc.unique(licence).to_pylist()
        allowed = pa.array([one for one in found if _allowed(one or "", settings.licences)])
        names.append(LICENCE)
        columns.append(~pc.is_in(licence, value_set=allowed.cast(pa.string())).to_numpy())
    if not columns:
        return [], np.zeros((len(licence), 0), bool)
    return names, np.stack(columns, axis=1)


def _allowed(licence: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(licence.lower(), pattern.lower()) for pattern in patterns)

"""Writing tensors to a file, from where they lie."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from llm.durable import replacing

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Replace the file's contents by tensors as safetensors, all or nothing.

    Raises OSError where there is no space, which the library tells in words only.
    """
    with replacing(path) as aside:
        try:
            save_file(dict(tensors), aside, None if metadata is None else dict(metadata))
        except SafetensorError as error:
            for code in FULL:
                if f"os error {code}" in str(error):
                    raise OSError(code, os.strerror(code), str(path)) from error
            raise

"""Text to Arrow token shards, beside the peers: see text_to_shards.py, which this runs.

Python puts a script's folder first, so what the other benchmarks import would find this file where it
asks for the standard library's `tokenize`. Imported, it therefore is that module.
"""

import runpy
import sysconfig
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("text_to_shards.py")), run_name="__main__")
else:
    standard = Path(sysconfig.get_path("stdlib"), "tokenize.py")
    exec(compile(standard.read_bytes(), str(standard), "exec"), globals())

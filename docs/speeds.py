"""Measure the speeds of the fourth notebook by ``softmaxjit bench``: ``python docs/speeds.py``, where the peers are.

It takes four minutes and should have the machine to itself; the notebook says whether it had.
"""

import json
import platform
import sys
from pathlib import Path

from softmaxjit._commands.bench import Options, bench

TARGET = Path(__file__).parents[1] / "notebooks" / "04_speed.json"
SHAPES = ("10", "100000x10", "1024x1000", "64x1000x49@1", "65536x512")


def main() -> int:
    """Write the file, without what is nobody's business: where it lay, and which build of a system this is."""
    bench(Options("softmax", SHAPES, "float32", threads=1, starts=2, rounds=5, plot=None, json=TARGET))
    document = json.loads(TARGET.read_text("utf-8"))
    document["options"]["json"] = TARGET.name
    document["machine"]["system"] = f"{platform.system()} {platform.machine()}"
    TARGET.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

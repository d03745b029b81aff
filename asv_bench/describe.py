"""Describe the benchmarks as they are now for ``asv publish``: ``python asv_bench/describe.py``.

asv does so itself whenever it runs any, but then also files a description of this machine among the committed results.
"""

import os
from pathlib import Path

from asv.benchmarks import Benchmarks
from asv.config import Config
from asv.environment import get_environments
from asv.repo import get_repo


def main() -> None:
    """Write ``benchmarks.json`` beside the results."""
    os.chdir(Path(__file__).parent)
    configuration = Config.load()
    configuration.dvcs = "none"  # what is described is this checkout, with the package that is installed
    environments = list(get_environments(configuration, ["existing:same"]))
    Benchmarks.discover(configuration, get_repo(configuration), environments, []).save()


if __name__ == "__main__":
    main()

"""Fixtures of several modules."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from softmaxjit import _jit
from softmaxjit._cache import NoCache

from .children import copy_kernels, link_kernels

# Shells start what is to run in the background with interrupts ignored, which the children of tests would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def kernels_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory that is the same in every process of pytest-xdist."""
    directory = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # directories of workers lie in the one of their run
        directory = directory.parent
    kernels = directory / "kernels"
    kernels.mkdir(mode=0o700, exist_ok=True)
    return kernels


@pytest.fixture
def warm_cache(kernels_of_the_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a cache for the children of a test that is not about caching.

    It begins with what the tests' own process and children of earlier tests have compiled; later ones find what is
    compiled there.
    """
    with suppress(NoCache):
        copy_kernels(Path(_jit.cache_directory()), kernels_of_the_run)
    cache = tmp_path_factory.mktemp("cache")
    link_kernels(kernels_of_the_run, cache)
    yield cache
    link_kernels(cache, kernels_of_the_run)

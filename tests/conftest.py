"""Fixtures of several modules."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from softmaxjit import _jit

from .children import copy_kernels


@pytest.fixture(scope="session")
def cache_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory that is the same in every process of pytest-xdist."""
    directory = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # directories of workers lie in the one of their run
        directory = directory.parent
    cache = directory / "shared-cache"
    cache.mkdir(mode=0o700, exist_ok=True)
    return cache


@pytest.fixture
def shared_cache(cache_of_the_run: Path) -> Path:
    """Return a cache for the children of tests that are not about caching.

    It holds what earlier ones of these compiled and a copy of what the tests' own process has compiled by now.
    """
    with suppress(_jit.NoCache):
        copy_kernels(Path(_jit.cache_directory()), cache_of_the_run)
    return cache_of_the_run

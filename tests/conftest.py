"""Fixtures of several modules."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache for the children of tests that are not about caching, which fill it one after another."""
    return tmp_path_factory.mktemp("shared-cache")

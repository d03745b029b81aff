"""Code is loaded from no directory that another user can put it into."""

import grp
import os
import pwd
import shutil
from pathlib import Path
from typing import Any

import pytest

from softmaxjit import _trust

from .children import PACKAGE, run

SOMEBODY = 4711


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory that belongs to this user as do those of pytest above it."""
    directory = tmp_path / "cache" / "softmaxjit_0"
    directory.mkdir(parents=True, mode=0o700)
    directory.parent.chmod(0o700)
    return directory


def test_a_directory_of_ones_own_is_trusted(directory: Path) -> None:
    assert _trust.distrust(str(directory)) is None
    assert _trust.distrust(str(directory / "to" / "be" / "made")) is None


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize(
    ("mode", "whose"), [(0o777, "every user"), (0o702, "every user"), (0o770, "group"), (0o755, None)]
)
def test_where_others_can_write_is_not(
    directory: Path, level: int, mode: int, whose: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_trust, "_is_of_one", lambda _: False)
    part = (directory, directory.parent)[level]
    part.chmod(mode)
    objection = _trust.distrust(str(directory))
    if whose is None:
        assert objection is None
    else:
        assert objection is not None
        assert objection.startswith(whose)
        assert objection.endswith(f"may write to {part}")


def test_a_sticky_directory_may_lie_above_but_not_hold_code(directory: Path) -> None:
    directory.parent.chmod(0o1777)
    assert _trust.distrust(str(directory)) is None
    directory.chmod(0o1777)
    assert _trust.distrust(str(directory)) == f"every user may write to {directory}"


def test_the_group_of_one_user_is_that_user(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.chmod(0o770)
    group = directory.stat().st_gid
    monkeypatch.setattr(_trust, "_is_of_one", {group: True}.__getitem__)
    assert _trust.distrust(str(directory)) is None


@pytest.mark.parametrize(
    ("name", "members", "expected"),
    [("ada", [], True), ("ada", ["ada"], True), ("ada", ["ada", "bob"], False), ("staff", [], False)],
)
def test_whose_a_group_is(name: str, members: list[str], expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def group_of(number: int) -> Any:
        return grp.struct_group((name, "x", number, members))

    def user_of(number: int) -> Any:
        return pwd.struct_passwd(("ada", "x", number, SOMEBODY, "", "/", ""))

    monkeypatch.setattr(grp, "getgrgid", group_of)
    monkeypatch.setattr(pwd, "getpwuid", user_of)
    assert _trust._is_of_one(SOMEBODY) is expected


def test_a_group_or_user_without_a_name_is_nobody_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(number: int) -> Any:
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert _trust._is_of_one(SOMEBODY) is False
    assert _trust._is_of_one(_trust.ROOT) is True


def owned_by_somebody(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    """Have these paths belong to another user, as only root could make them."""
    lstat = Path.lstat

    def theirs(path: Path) -> os.stat_result:
        status = list(lstat(path))
        if path in paths:
            status[4] = SOMEBODY
        return os.stat_result(status)

    monkeypatch.setattr(Path, "lstat", theirs)


def test_a_file_of_another_user_or_open_to_others_is_not_whoever_owns_the_directory(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = directory / "a.kernel_0-7.py311.nbi"
    file.touch(0o644)
    file.chmod(0o644)
    assert _trust.distrust(str(directory), "*.kernel_0-*") is None
    file.chmod(0o666)
    assert _trust.distrust(str(directory), "*.kernel_0-*") == f"every user may write to {file}"
    assert _trust.distrust(str(directory), "*.kernel_1-*") is None
    file.chmod(0o644)
    owned_by_somebody(monkeypatch, file)
    assert (_trust.distrust(str(directory), "*.kernel_0-*") or "").startswith(f"{file} belongs to user {SOMEBODY}")


def test_a_pipe_which_to_open_is_to_wait_is_no_file(directory: Path) -> None:
    file = directory / "softmax_rows-1.nbi"
    assert _trust.unfit(str(directory), "softmax_rows-*") is None
    file.touch()
    assert _trust.unfit(str(directory), "softmax_rows-*") is None
    file.unlink()
    os.mkfifo(file, 0o600)
    assert _trust.unfit(str(directory), "softmax_rows-*") == f"{file} is no file"
    file.rename(directory / "pipe")
    assert _trust.unfit(str(directory), "softmax_rows-*") is None
    file.symlink_to("pipe")
    assert _trust.unfit(str(directory), "softmax_rows-*") == f"{file} is no file"


def test_a_link_to_a_file_that_others_can_write_or_replace_is_not(directory: Path) -> None:
    elsewhere = directory.parents[1] / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    file = elsewhere / "code"
    file.touch(0o600)
    (directory / "a.kernel_0-7.py311.nbi").symlink_to(file)
    assert _trust.distrust(str(directory), "*.kernel_0-*") is None
    file.chmod(0o666)
    assert _trust.distrust(str(directory), "*.kernel_0-*") == f"every user may write to {file}"
    file.chmod(0o600)
    elsewhere.chmod(0o777)
    assert _trust.distrust(str(directory), "*.kernel_0-*") == f"every user may write to {elsewhere}"


@pytest.mark.parametrize("level", [0, 1])
def test_another_users_is_not(directory: Path, level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    part = (directory, directory.parent)[level]
    owned_by_somebody(monkeypatch, part)
    assert (_trust.distrust(str(directory)) or "").startswith(f"{part} belongs to user {SOMEBODY}, not to user ")


def test_another_users_link_to_ones_own_is_not(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = directory.parents[1] / "link"
    link.symlink_to(directory.parent)
    assert _trust.distrust(str(link / directory.name)) is None
    owned_by_somebody(monkeypatch, link)
    assert (_trust.distrust(str(link / directory.name)) or "").startswith(f"{link} belongs to user {SOMEBODY}")


def test_a_link_to_where_others_can_write_is_not(directory: Path) -> None:
    link = directory.parents[1] / "link"
    link.symlink_to(directory)
    directory.parent.chmod(0o777)
    assert _trust.distrust(str(link)) == f"every user may write to {directory.parent}"


def test_such_a_directory_is_neither_read_nor_written_and_that_is_said_once(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    script = """
    import json
    import sys
    import warnings
    sys.modules["scipy"] = None
    import numpy as np
    from softmaxjit import _jit, logsumexp
    from softmaxjit._cache import NoCache
    from softmaxjit._kernels.copy import stream_copy
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kernels = [stream_copy.compiled(np.dtype(name)) for name in ("float32", "float64")]
    hits = sum(sum(kernel.stats.cache_hits.values()) for kernel in kernels)
    try:
        where = _jit.cache_directory()
    except NoCache as reason:
        where = str(reason)
    print(json.dumps([hits, where, [str(warning.message) for warning in caught]]))
    """
    cache.mkdir()
    cache.chmod(0o755)
    hits, where, warned = run(script, cache)
    assert (hits, warned) == (0, [])
    assert Path(where).parent == cache
    kept = set(Path(where).iterdir())
    assert len(kept) == 4
    cache.chmod(0o777)
    hits, where, warned = run(script, cache)
    assert (hits, where) == (0, f"every user may write to {cache}")
    (warning,) = warned
    assert where in warning
    assert "NUMBA_CACHE_DIR" in warning
    assert set(cache.rglob("*.nb?")) == kept
    cache.chmod(0o755)
    hits, _, warned = run(script, cache)
    assert (hits, warned) == (2, [])
    opened = next(path for path in kept if "float64" in path.name)
    opened.chmod(0o666)
    hits, _, warned = run(script, cache)
    assert hits == 1
    assert f"every user may write to {opened}" in warned[0]


def test_beside_the_sources_whoever_can_write_has_no_need_of_a_cache(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    shutil.copytree(PACKAGE, packages / "softmaxjit", ignore=shutil.ignore_patterns("__pycache__"))
    packages.chmod(0o777)
    script = "import json; from softmaxjit import _jit, _overloads; print(json.dumps(_jit.cache_directory()))"
    assert Path(run(script, None, packages)).name == "__pycache__"

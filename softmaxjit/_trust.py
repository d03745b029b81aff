"""Whether code may be run from a directory: only where no other user can put some there.

Other users are all but this one, root, and whoever owns the root directory, which is somebody else where a sandbox maps
user numbers.  A directory in which others can write lets them plant a file; one further up lets them put another
directory in its place, unless its sticky bit is set, as that of ``/tmp`` is.  Files count too: they may have been put
there, or opened to others, before the directory was closed.
"""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

ROOT = 0


def distrust(directory: str, files: str = "") -> str | None:
    """Return why a directory may not hold code, or why its `files`, a pattern, may not be code; None if they may."""
    if not hasattr(os, "geteuid"):  # Windows, where directories of a user are the user's own
        return None
    owners = {ROOT, os.geteuid(), os.stat("/").st_uid}  # noqa: PTH116
    paths = [*_leading_to(directory)]
    for file in Path(directory).glob(files) if files else ():
        paths += _leading_to(str(file)) if file.is_symlink() else [file]
    return next(filter(None, (_objection(path, directory, owners) for path in paths)), None)


def unfit(directory: str, files: str) -> str | None:
    """Return why one of `files`, a pattern, is not to be opened: to open a pipe, or some devices, is to wait."""
    others = (path for path in Path(directory).glob(files) if path.exists() and not path.is_file())
    return next((f"{path} is no file" for path in others), None)


def _leading_to(directory: str) -> Iterator[Path]:
    """Yield all that decides what the directory is: it and its parents, and what links among them lead to."""
    given, meant = Path(directory).absolute(), Path(directory).resolve()
    yield from dict.fromkeys((meant, *meant.parents, given, *given.parents))


def _objection(path: Path, directory: str, owners: Collection[int]) -> str | None:
    try:
        status = path.lstat()
    except FileNotFoundError:  # it would be made by this user
        return None
    if status.st_uid not in owners:
        return f"{path} belongs to user {status.st_uid}, not to user {os.geteuid()} or root"
    is_safely_shared = status.st_mode & stat.S_ISVTX and path != Path(directory).resolve()
    if is_safely_shared or stat.S_ISLNK(status.st_mode):  # a link has no permissions of its own
        return None
    if status.st_mode & stat.S_IWOTH:
        return f"every user may write to {path}"
    if status.st_mode & stat.S_IWGRP and not _is_of_one(status.st_gid):
        return f"group {status.st_gid} may write to {path}"
    return None


def _is_of_one(group: int) -> bool:
    """Whether a group is root's, or the one that many systems give each user, of the user's name and no other member.

    Directories made by such users are writable to that group.
    """
    import grp  # noqa: PLC0415  these two are not on Windows
    import pwd  # noqa: PLC0415

    if group == ROOT:
        return True
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
        entry = grp.getgrgid(group)
    except KeyError:
        return False
    return entry.gr_name == user and set(entry.gr_mem) <= {user}

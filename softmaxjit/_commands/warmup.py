"""``softmaxjit warmup``: compile ahead, and list what was compiled."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from .. import _jit
from .._cache import NoCache
from ..compilation import Warmed
from ..compilation import warmup as compile_ahead
from . import CommandError


def warmup(operations: Sequence[str], dtypes: Sequence[str], everything: bool) -> None:
    """Compile, and print a table, a line for each kernel, and where they are kept.

    Raises
    ------
    CommandError
        There is no cache, so that nothing would be left when the command ends; or ml_dtypes is missing.
    """
    try:
        directory = _jit.cache_directory()
    except NoCache as reason:
        raise CommandError(f"there is no cache to compile for: {reason}") from None
    try:
        entries = compile_ahead(operations or None, dtypes or None, all=everything, progress=True)
    except ModuleNotFoundError as error:
        raise CommandError(f"{error.name} is not installed") from None
    Console(highlight=False).print(table_of(entries))
    compiled = sum(entry.compiled for entry in entries)
    print(f"{compiled} compiled, {len(entries) - compiled} loaded; kept in {directory}")


def table_of(entries: Sequence[Warmed]) -> Table:
    """Return a table of kernels."""
    table = Table("kernel", "dtype", "threads", "", "seconds", box=None)
    table.columns[-1].justify = "right"
    for entry in entries:
        threads, origin = "many" if entry.parallel else "one", "compiled" if entry.compiled else "loaded"
        table.add_row(entry.kernel, entry.dtype, threads, origin, f"{entry.seconds:.2f}")
    return table

"""Compiling ahead of the first call."""

import importlib.util
from collections.abc import Iterator, Sequence

from numba.core import config

from . import _warmup
from ._warmup import Warmed

__all__ = ["Warmed", "warmup"]


def warmup(
    operations: Sequence[str] | None = None,
    dtypes: Sequence[str] | None = None,
    *,
    all: bool = False,  # noqa: A002
    progress: bool = False,
) -> list[Warmed]:
    """Compile now, for the cache and this process, what calls from Python would compile when they come.

    Call it while an image is built, so that no start pays for compiling, and before a process forks, so that no child
    does.  What is in the cache already is loaded.

    Parameters
    ----------
    operations : sequence of str, optional
        Some of ``"softmax"``, ``"log_softmax"``, ``"logsumexp"``, ``"softmax_vjp"`` and ``"log_softmax_vjp"``, by
        default all of these; and of ``"cross_entropy"``, ``"cross_entropy_and_grad"`` and ``"calibration"``, all that
        ``softmaxjit.calibration`` has.
    dtypes : sequence of str, optional
        Some of ``"float32"``, ``"float64"``, ``"float16"`` and ``"bfloat16"``, the last only where ml_dtypes is
        installed; by default the first two.
    all : bool, default False
        Compile also what takes masks, weights, temperatures by row or outside 2**-40 to 2**40 (inside ``@njit`` any
        that is given), and probabilities as labels, and, if `operations` or `dtypes` are not given, for all that there
        are.
    progress : bool, default False
        Show a progress bar; needs rich, which comes with the extra ``cli``.

    Returns
    -------
    list of Warmed
        What is ready: the name of each kernel, its dtype, whether it is parallel, the seconds it took, and whether it
        was compiled rather than loaded.  Empty where compiling is turned off.

    Raises
    ------
    TypeError
        `operations` or `dtypes` is a single name.
    ValueError
        It has a name that is none of those above.
    ModuleNotFoundError
        ml_dtypes or rich is asked for and not installed.

    Notes
    -----
    No threading layer is launched.  So parallel kernels, at the compiling of which Numba launches one, are compiled in
    another process of Python meanwhile, and only if there is a cache and calls here would run in parallel at all.

    Functions of your own that call these inside ``@njit`` still compile: give them ``cache=True``.  So do the ufuncs.

    Examples
    --------
    >>> from softmaxjit import warmup
    >>> sorted({entry.kernel for entry in warmup(["softmax_vjp"], ["float32"])})
    ['softmax_vjp_rows']
    """
    default_operations = _warmup.ALL_OPERATIONS if all else _warmup.OPERATIONS
    chosen = _checked("operations", operations, _warmup.ALL_OPERATIONS, default_operations)
    default_dtypes = _available_dtypes() if all else _warmup.DTYPES
    elements = _checked("dtypes", dtypes, _warmup.ALL_DTYPES, default_dtypes)
    if config.DISABLE_JIT:
        return []
    entries = _warmup.warmed(chosen, elements, all)
    if not progress:
        return list(entries)
    ways = [parallel for task in _warmup.tasks(chosen, elements, all) for parallel in task.ways]
    number = ways.count(False) + ways.count(True) * _warmup.has_parallel()
    return list(_shown(entries, number))


def _checked(
    name: str, values: Sequence[str] | None, accepted: Sequence[str], default: Sequence[str]
) -> tuple[str, ...]:
    if values is None:
        return tuple(default)
    if isinstance(values, str):
        raise TypeError(f"{name} is {values!r}; accepted are sequences of names, such as [{values!r}]")
    for value in values:
        if value not in accepted:
            raise ValueError(f"{name} has {value!r}; accepted are {', '.join(accepted)}")
    return tuple(dict.fromkeys(values))


def _available_dtypes() -> list[str]:
    has_bfloat16 = importlib.util.find_spec("ml_dtypes") is not None
    return [name for name in _warmup.ALL_DTYPES if name != "bfloat16" or has_bfloat16]


def _shown(entries: Iterator[Warmed], number: int) -> Iterator[Warmed]:
    """Pass entries on, and show how far they are."""
    try:
        bars = importlib.import_module("rich.progress")
        console = importlib.import_module("rich.console").Console(stderr=True)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("progress needs rich: pip install 'softmaxjit[cli]'", name=error.name) from None
    columns = (
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("{task.description}"),
    )
    with bars.Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=number)
        for entry in entries:
            progress.update(bar, advance=1, description=f"{entry.kernel} {entry.dtype}")
            yield entry

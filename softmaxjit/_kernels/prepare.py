"""Before and after the row kernels: entries masked by ``where``, and temperatures that go into the elements."""

from typing import Any

import numpy as np
from numba import prange, types

from .._jit import compiled_as, helper, kernel
from .temperature import rescale_row, temperature_at

NO_MASK = types.none
MASK = types.Array(types.boolean, 1, "C", readonly=True)

MASKED_VALUES = {"softmax": 0.0, "log_softmax": -np.inf}  # what masked entries become


@kernel(lambda x, out, where, temperature: (x, where, types.intp, temperature, out))
def prepare_rows(x, where, n, temperature, out):
    """Write rows for the row kernels: masked entries become -inf, and each temperature one that they take."""
    for row in prange(x.size // n):
        copy_row(x, where, row * n, n, out)
        rescale_row(out, row * n, n, temperature_at(temperature, row))


def copy_row(x: Any, where: Any, start: Any, n: Any, out: Any) -> Any:
    """Copy a row, with -inf for masked entries."""
    raise NotImplementedError("only inside compiled code")


@compiled_as(copy_row, inline=True)
def _copy_row(x, where, start, n, out):
    if isinstance(where, types.NoneType):

        def all_of_it(x, where, start, n, out):
            for i in range(start, start + n):
                out[i] = x[i]

        return all_of_it

    def unmasked(x, where, start, n, out):
        for i in range(start, start + n):
            out[i] = x[i] if where[i] else -np.inf

    return unmasked


@kernel(lambda _, out: (out, MASK, types.intp, types.float64))
def fill_masked(out, where, n, fill):
    """Give masked entries of NaN rows the value that they have in other rows; a row without others has only those."""
    for row in prange(out.size // n):
        start = row * n
        if np.isnan(out[start]):
            fill_masked_row(out, where, start, n, fill)


@helper
def fill_masked_row(out, where, start, n, fill):
    """Fill the masked entries of one row."""
    for i in range(start, start + n):
        if not where[i]:
            out[i] = fill

"""Before and after the row kernels: temperatures that go into the elements, and masked entries of NaN rows."""

import numpy as np
from numba import prange, types

from .._jit import MASK, kernel
from .._simd.memory import data_of, load_element, store_element
from .temperature import rescale_row, temperature_at

MASKED_VALUES = {"softmax": 0.0, "log_softmax": -np.inf}  # what masked entries become


@kernel(lambda x, out, temperature: (x, types.intp, temperature, out))
def prepare_rows(x, n, temperature, out):
    """Write rows for the row kernels: masked entries become -inf, and each temperature one that they take."""
    for row in prange(out.size // n):
        for i in range(row * n, row * n + n):
            store_element(data_of(out), i, load_element(data_of(x), i))
        rescale_row(out, row * n, n, temperature_at(temperature, row))


@kernel(lambda _, out: (out, MASK, types.intp, types.intp, types.float64))
def fill_masked(out, where, n, inner, fill):
    """Give masked entries of NaN rows the value that they have in other rows; a row without others has only those.

    `out` has shape (outer, n, inner), and NaN rows are known by their first element.
    """
    for row in prange(out.size // n):
        start = row // inner * (n - 1) * inner + row
        first = load_element(data_of(out), start)
        if first != first:
            for i in range(start, start + n * inner, inner):
                if not where[i]:
                    store_element(data_of(out), i, fill)

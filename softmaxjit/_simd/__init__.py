"""A portable vector type for Numba, with arithmetic, memory access, reductions, exp and log on it.

A kernel reads like NumPy on 16 float32 or 8 float64 elements::

    total = splat(x, 0)
    while i + lanes(x) <= n:
        value = load(x, i)
        total = total + value * value
        i += lanes(x)

Nothing here knows what the numbers mean.  Call these from functions compiled by `softmaxjit._jit` only: in a function
compiled with other fast-math flags they would be re-flagged.
"""

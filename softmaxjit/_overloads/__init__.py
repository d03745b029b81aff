"""The public functions inside ``@njit``: the contract of `_args` by types, on the same kernels.

Serial, so that a caller can run it in its own ``prange``; with `out`, rows that lie one after another in memory, one
temperature and no masks or weights, nothing is allocated.
"""

from . import activations, fitting, gradients, losses, metrics, reporting, resampling, special, sums

__all__ = ["activations", "fitting", "gradients", "losses", "metrics", "reporting", "resampling", "special", "sums"]

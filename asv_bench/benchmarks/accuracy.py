"""The largest error against the oracle of the tests, over their lengths and input families."""

from . import COMMIT, FLOATS, OPERATIONS, THREADS, from_this_checkout

ELEMENTS = 2000  # of a length and family


class Error:
    timeout = 600

    param_names = ("operation", "dtype")
    params = (OPERATIONS, FLOATS)

    def setup(self, _operation: str, _dtype: str) -> None:
        """Leave out what is the same on other numbers of threads, as the tests try; it takes a minute."""
        if COMMIT != "existing" and THREADS != 1:
            raise NotImplementedError

    def track_largest_error(self, operation: str, dtype: str) -> float:
        oracles = from_this_checkout("tests/oracles.py")
        (tested,) = [tested for tested in oracles.OPERATIONS if tested.name == operation]
        return max(
            tested.error(x)
            for n in oracles.LENGTHS
            for _, x in oracles.families(n, oracles.np.dtype(dtype), max(4, ELEMENTS // n))
        )

    track_largest_error.unit = "ulp"

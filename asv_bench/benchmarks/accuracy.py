"""The largest error against the oracle of the tests, over their lengths and input families."""

from . import FLOATS, OPERATIONS, from_this_checkout

ELEMENTS = 2000  # of a length and family


class Error:
    timeout = 600

    param_names = ("operation", "dtype")
    params = (OPERATIONS, FLOATS)

    def track_largest_error(self, operation: str, dtype: str) -> float:
        oracles = from_this_checkout("tests/oracles.py")
        (tested,) = [tested for tested in oracles.OPERATIONS if tested.name == operation]
        return max(
            tested.error(x)
            for n in oracles.LENGTHS
            for _, x in oracles.families(n, oracles.np.dtype(dtype), max(4, ELEMENTS // n))
        )

    track_largest_error.unit = "ulp"

"""How many times as long as each peer, and as a copy past the caches, by the turns of ``softmaxjit bench``.

It is the inverse of what that prints, because asv takes whatever grows for a slowdown.
Each is a ratio within rounds in which all had the same machine, so that it means something on a noisy one.  The turns
are those of the commit that is measured; a commit from before there were any has no ratios.
"""

import math
from typing import ClassVar

from . import FLOATS, PEERS, REGIMES, THREADS, table

ROOF = "copy"
STARTS, ROUNDS = 3, 3
MATCH_LIMIT = 1800  # seconds for all shapes

Ratios = dict[tuple[str, str], float]  # of a shape and a contender


def ratios(operation: str, shapes: tuple[str, ...], dtype: str) -> Ratios:
    """Return how many times as fast ours was in each shape; a contender that is not installed is not there."""
    try:
        from softmaxjit._commands.contenders import CONTENDERS  # noqa: PLC0415
        from softmaxjit._commands.problem import Setting  # noqa: PLC0415
        from softmaxjit._commands.standings import Standings  # noqa: PLC0415
        from softmaxjit._commands.turns import Match  # noqa: PLC0415
    except ImportError:
        return {}
    found = {}
    for text in shapes:
        setting = Setting(operation, *table.shape_and_axis(text), dtype, THREADS)
        match = Match(list(CONTENDERS), setting)
        for _ in range(STARTS):
            match.play(ROUNDS)
        standings = Standings(setting, match.turns)
        found[text, ROOF] = standings.fraction_of_roof("into")
        for peer in PEERS:
            # Both into an array that was there before, or both allocating where the peer cannot.
            into = standings.ratio(peer, "into")
            found[text, peer] = standings.ratio(peer, "allocating") if into is None else into
    return {key: value for key, value in found.items() if value is not None}


class _Match:
    timeout = 60
    dtype = FLOATS[0]
    operation: ClassVar[str]
    param_names = ("shape", "contender")
    params = (REGIMES, (*PEERS, ROOF))

    def track_times_as_long_as(self, found: Ratios, shape: str, contender: str) -> float:
        return 1 / found.get((shape, contender), math.nan)

    track_times_as_long_as.unit = "times as long"


class Softmax(_Match):
    operation = "softmax"

    def setup_cache(self) -> Ratios:
        return ratios(self.operation, self.params[0], self.dtype)

    setup_cache.timeout = MATCH_LIMIT


class LogSoftmax(_Match):
    operation = "log_softmax"

    def setup_cache(self) -> Ratios:
        return ratios(self.operation, self.params[0], self.dtype)

    setup_cache.timeout = MATCH_LIMIT


class Logsumexp(_Match):
    operation = "logsumexp"

    def setup_cache(self) -> Ratios:
        return ratios(self.operation, self.params[0], self.dtype)

    setup_cache.timeout = MATCH_LIMIT

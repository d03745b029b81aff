"""What turns amount to: medians, ratios, the fraction of the roof, and what was not measured cleanly."""

import statistics
from typing import Any, NamedTuple

from .contenders import CONTENDERS, OURS, ROOF
from .problem import Setting
from .turns import MODES, Turns

WIDEST = 0.15  # of the median, either way
SPARE_CORES = 0.2
IDLE_LOAD = 0.5


class Standings(NamedTuple):
    """The turns of all contenders in one setting; whoever is there took part in every round."""

    setting: Setting
    turns: Turns

    def entrants(self, mode: str) -> list[str]:
        """Return who has a mode, in the order of the tables."""
        return [name for name in CONTENDERS if (name, mode) in self.turns]

    def speeds(self, name: str, mode: str) -> list[float]:
        """Return the elements a second of each turn."""
        return [self.setting.size / turn["seconds"] for turn in self.turns[name, mode]]

    def median(self, name: str, mode: str, what: str) -> float:
        """Return the median of the "seconds" or the "cores" of a contender's turns."""
        return statistics.median(turn[what] for turn in self.turns[name, mode])

    def ratio(self, name: str, mode: str) -> float | None:
        """Return how many times as fast as a peer softmaxjit is: the median of the ratios within a round."""
        return self._ratio((name, mode), (OURS, mode))

    def fraction_of_roof(self, mode: str) -> float | None:
        """Return the speed of softmaxjit over that of the streaming copy, likewise."""
        return self._ratio((ROOF, "into"), (OURS, mode))

    def best_peer(self, mode: str) -> str | None:
        """Return the peer with the highest median."""
        peers = [name for name in self.entrants(mode) if name not in (OURS, ROOF)]
        return min(peers, key=lambda name: self.median(name, mode, "seconds"), default=None)

    def remarks(self) -> list[str]:
        """Return a line for each that was not measured cleanly."""
        lines = []
        for name, mode in self._sorted():
            who = f"{self.setting.title}: {CONTENDERS[name].title} {MODES[mode]}"
            speeds = self.speeds(name, mode)
            middle = statistics.median(speeds)
            low, high = min(speeds) / middle - 1, max(speeds) / middle - 1
            if max(-low, high) > WIDEST:
                lines.append(f"{who}: {len(speeds)} turns lay {low:+.0%} to {high:+.0%} around their median")
            cores = self.median(name, mode, "cores")
            if cores > self.setting.threads + SPARE_CORES:
                lines.append(f"{who}: kept {cores:.1f} cores busy, not {self.setting.threads}")
            elif cores < 1 - SPARE_CORES:
                lines.append(f"{who}: had to wait for a core, and got {cores:.1f}")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return everything as what JSON can hold."""
        results: dict[str, Any] = {}
        for name, mode in self._sorted():
            results.setdefault(name, {})[mode] = {
                "turns": self.turns[name, mode],
                "median_seconds": self.median(name, mode, "seconds"),
                "elements_per_second": statistics.median(self.speeds(name, mode)),
                "median_cores": self.median(name, mode, "cores"),
                "softmaxjit_is_times_as_fast": None if name in (OURS, ROOF) else self.ratio(name, mode),
            }
        return {
            "shape": self.setting.shape,
            "axis": self.setting.axis,
            "contenders": results,
            "best_peer": {mode: self.best_peer(mode) for mode in MODES},
            "fraction_of_roof": {mode: self.fraction_of_roof(mode) for mode in MODES},
        }

    def _sorted(self) -> list[tuple[str, str]]:
        """Return who is there in which mode, in the order of the tables: turns came in a random one."""
        return [(name, mode) for mode in MODES for name in self.entrants(mode)]

    def _ratio(self, theirs: tuple[str, str], ours: tuple[str, str]) -> float | None:
        if theirs not in self.turns or ours not in self.turns:
            return None
        rounds = zip(self.turns[theirs], self.turns[ours], strict=True)
        return statistics.median(their["seconds"] / our["seconds"] for their, our in rounds)

"""The tables of ``softmaxjit bench``."""

import statistics

from rich import box
from rich.table import Table

from .contenders import CONTENDERS, OURS, ROOF
from .standings import Standings
from .turns import MODES


def table_of(measured: Standings, mode: str) -> Table:
    """Return the speed of everyone who has a mode, and the ratio of softmaxjit to it."""
    table = Table(box=box.SIMPLE_HEAD, padding=0)
    table.add_column(MODES[mode], no_wrap=True)
    for heading in ("µs a call", "10⁹\nelements/s", "min..max", "cores", "softmaxjit\nis", "of the\nroof"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in measured.entrants(mode):
        speeds = [speed / 1e9 for speed in measured.speeds(name, mode)]
        ratio = None if name in (OURS, ROOF) else measured.ratio(name, mode)
        table.add_row(
            CONTENDERS[name].title,
            f"{measured.median(name, mode, 'seconds') * 1e6:.4g}",
            f"{statistics.median(speeds):.3g}",
            f"{min(speeds):.3g}..{max(speeds):.3g}",
            f"{measured.median(name, mode, 'cores'):.1f}",
            times(ratio),
            number(measured.fraction_of_roof(mode)) if name == OURS else "",
            style="bold" if name == OURS else "dim" if name == ROOF else "",
        )
    return table


def summary_of(standings: list[Standings]) -> Table:
    """Return how softmaxjit does in each shape in which anyone was measured."""
    table = Table("shape", box=box.SIMPLE_HEAD, padding=0)
    for mode in MODES.values():
        table.add_column(mode, justify="right")
        table.add_column("best peer", no_wrap=True)
    table.add_column("of the roof", justify="right")
    for measured in standings:
        if not measured.turns:
            continue
        cells = []
        for mode in MODES:
            best = measured.best_peer(mode)
            cells += ["", ""] if best is None else [times(measured.ratio(best, mode)), CONTENDERS[best].title]
        table.add_row(measured.setting.title, *cells, number(measured.fraction_of_roof("into")))
    return table


def times(ratio: float | None) -> str:
    """Return a ratio as text."""
    return "" if ratio is None else f"{ratio:.2f} x"


def number(fraction: float | None) -> str:
    """Return a fraction as text."""
    return "" if fraction is None else f"{fraction:.3g}"

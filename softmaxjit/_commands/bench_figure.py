"""The figure of ``softmaxjit bench``."""

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import CommandError
from .contenders import CONTENDERS, OURS, ROOF
from .figure import BARS, MARK
from .standings import Standings
from .whole_files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Ours is black; the peers have the other colours of the demonstration's figure, then lighter ones, and hatches.
PEERS = (BARS[1], BARS[2], ("#56B4E9", "..."), ("#BBBBBB", ""), ("#EEEEEE", "xxx"))
STYLES = {OURS: BARS[0], **dict(zip([name for name in CONTENDERS if name not in (OURS, ROOF)], PEERS, strict=True))}

NARROWEST = 7.5  # inches: the longest title, and the legend below


def check_figure(path: Path) -> None:
    """Raise CommandError where matplotlib is not installed or does not write such files."""
    supported = _new_figure(1.0).canvas.get_supported_filetypes()
    if format_of(path) not in supported:
        raise CommandError(f"--plot is {path}; accepted are names that end in {', '.join(sorted(supported))}", 2)


def format_of(path: Path) -> str:
    """Return the format that a name asks for."""
    return path.suffix[1:].lower() or "png"


def save_bench_figure(path: Path, standings: list[Standings], title: str) -> None:
    """Draw a panel for each shape, since speeds of different shapes have different scales, and save them."""
    columns = 1 if len(standings) == 1 else 3 if len(standings) > 4 else 2
    rows = -(-len(standings) // columns)
    figure = _new_figure(max(NARROWEST, 4.4 * columns), 0.9 + 2.1 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes, measured in zip(panels, standings, strict=False):
        draw_shape(axes, measured)
    for axes in list(figure.axes)[len(standings) :]:
        axes.set_visible(False)
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        found, labels = axes.get_legend_handles_labels()
        handles |= dict(zip(labels, found, strict=True))
    order = [contender.title for contender in CONTENDERS.values() if contender.title in handles]
    columns = min(2 + columns, max(1, len(order)))
    figure.legend([handles[title] for title in order], order, loc="outside lower center", ncols=columns, frameon=False)
    figure.suptitle(f"{title}: 10⁹ elements a second, median, least and most")
    with whole_file(path, f"--plot {path}") as file:
        figure.savefig(file, dpi=150, format=format_of(path))


def draw_shape(axes: "Axes", measured: Standings) -> None:
    """Draw the speeds in one shape as bars, grouped by mode, from the top down, and the roof as a line."""
    place, ticks = 0.0, []
    for mode, label in (("into", "out="), ("allocating", "allocating")):
        first = place
        for name in measured.entrants(mode):
            if name == ROOF:
                continue
            speeds = [speed / 1e9 for speed in measured.speeds(name, mode)]
            middle = statistics.median(speeds)
            colour, hatch = STYLES[name]
            axes.barh(
                place,
                middle,
                0.9,
                xerr=[[middle - min(speeds)], [max(speeds) - middle]],
                error_kw={"elinewidth": 1, "ecolor": "#777777", "capsize": 1.5},
                label=CONTENDERS[name].title,
                color=colour,
                hatch=hatch,
                edgecolor="#999999" if colour == "#EEEEEE" else "white",  # of the hatch
                linewidth=0,
            )
            place += 1
        if place > first:
            ticks.append(((first + place - 1) / 2, label))
            place += 0.6
    if (ROOF, "into") in measured.turns:
        roof = statistics.median(measured.speeds(ROOF, "into")) / 1e9
        axes.axvline(roof, color=MARK, linestyle="--", linewidth=1.5, label=CONTENDERS[ROOF].title)
    axes.set_yticks([tick for tick, _ in ticks], [label for _, label in ticks])
    axes.invert_yaxis()
    axes.set_xlim(0, None)
    axes.set_title(measured.setting.title, fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)


def _new_figure(width: float, height: float = 1.0) -> Any:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  an extra
    except ImportError:
        raise CommandError("--plot needs matplotlib: pip install 'softmaxjit[plot]'", 2) from None
    return Figure(figsize=(width, height), layout="constrained")

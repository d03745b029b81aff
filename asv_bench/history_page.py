"""Draw what ``asv publish`` published as one page that a browser opens from disk: ``python asv_bench/history_page.py``.

asv's own page fetches its scripts from the network and its numbers through a web server.  This one holds its graphs as
SVG and needs neither; it takes the place of ``index.html``, and asv's stays beside it as ``asv.html``.
"""

import json
import math
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from asv.graph import Graph

HTML = Path(__file__).parent / ".asv" / "html"
COLOURS = ("#0b5fa5", "#d1495b", "#2e8b57", "#b8860b", "#7b4fa3", "#008b8b", "#8b4513", "#696969")
WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 390, 190, 62, 30, 34, 10
# What is told of a machine, in a list at the top.
FACTS = {"cpu": "{}", "arch": "{}", "num_cpu": "{} cores", "ram": "{} of memory", "os": "{}"}
THREADS = "env-NUMBA_NUM_THREADS"

STEPS = {  # of a unit, what it is multiplied by
    "seconds": (("s", 1.0), ("ms", 1e3), ("µs", 1e6), ("ns", 1e9)),
    "bytes": (("GB", 1e-9), ("MB", 1e-6), ("kB", 1e-3), ("bytes", 1.0)),
}

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1240px; margin: 2em auto; padding: 0 1em; color: #222; }
h2 { margin: 2em 0 0.2em; font-size: 1.15em; border-top: 1px solid #ccc; padding-top: 1em; }
nav a { margin-right: 1.2em; white-space: nowrap; }
figure { display: inline-block; margin: 0.6em 0.8em 0 0; vertical-align: top; }
figcaption { font-weight: 600; font-size: 0.9em; }
.key { font-size: 0.9em; margin-right: 1.2em; white-space: nowrap; }
.key::before { content: ""; display: inline-block; width: 1.4em; height: 0.2em; margin-right: 0.4em;
  vertical-align: middle; background: var(--colour); }
svg { display: block; } svg text { font: 11px system-ui, sans-serif; fill: #444; }
table { border-collapse: collapse; } td, th { text-align: left; padding: 0.1em 1.2em 0.1em 0; }
"""


class Point(NamedTuple):
    """A value at the position of its commit among all that were measured."""

    position: int
    value: float


class Line(NamedTuple):
    """One setting from commit to commit."""

    label: str
    points: list[Point]


class Panel(NamedTuple):
    """The lines that share a graph: they differ in the last parameter and in the environment."""

    title: str
    lines: list[Line]


class Published:
    """The files that ``asv publish`` wrote into a directory."""

    def __init__(self, directory: Path) -> None:
        index = json.loads((directory / "index.json").read_text("utf-8"))
        self.project: str = index["project"]
        self.machines: dict[str, dict[str, str]] = index["machines"]
        self.benchmarks: dict[str, dict[str, Any]] = index["benchmarks"]
        self._environments: list[dict[str, str | None]] = index["graph_param_list"]
        self._graphs = {
            (name, k): json.loads(path.read_text("utf-8"))
            for name in self.benchmarks
            for k, environment in enumerate(self._environments)
            if (path := directory / f"{Graph.get_file_path(environment, name)}.json").exists()
        }
        # Without commits that only other branches have.
        self.revisions = sorted({revision for graph in self._graphs.values() for revision, _ in graph})
        self.hashes = [index["revision_to_hash"][str(revision)] for revision in self.revisions]
        dates = [index["revision_to_date"][str(revision)] for revision in self.revisions]
        self.dates = [datetime.fromtimestamp(date / 1000, UTC).strftime("%Y-%m-%d %H:%M") for date in dates]
        # What is the same in all environments, or known of the machine, need not be said in each graph.
        self._varying = [
            name
            for name in index["params"]
            if name not in FACTS and len({environment.get(name) for environment in self._environments}) > 1
        ]

    def _label(self, environment: dict[str, str | None]) -> str:
        said = ((name, environment.get(name)) for name in self._varying)
        return ", ".join(
            f"{value} thread(s)" if name == THREADS else value for name, value in said if value is not None
        )

    def panels(self, name: str) -> list[Panel]:
        """Return the graphs of a benchmark that have something to show."""
        benchmark = self.benchmarks[name]
        values = [[value.strip("'") for value in values] for values in benchmark["params"]]
        series = sorted(
            (self._label(environment), self._graphs[name, k])
            for k, environment in enumerate(self._environments)
            if (name, k) in self._graphs
        )  # by their labels, which differ
        position = {revision: k for k, revision in enumerate(self.revisions)}
        panels: dict[str, Panel] = {}
        for k, parameters in enumerate(product(*values)):
            title = ", ".join(parameters[:-1])
            for environment_label, graph in series:
                label = ", ".join(filter(None, (*parameters[-1:], environment_label)))
                points = [
                    Point(position[revision], found[k] if isinstance(found, list) else found)
                    for revision, found in graph
                ]
                points = [point for point in points if point.value is not None and math.isfinite(point.value)]
                if points:
                    panels.setdefault(title, Panel(title, [])).lines.append(Line(label or "all", points))
        return list(panels.values())


def scale_of(unit: str, largest: float) -> tuple[str, float]:
    """Return the unit in which values up to the largest read well, and what they are multiplied by."""
    steps = STEPS.get(unit, ((unit, 1.0),))
    return next((step for step in steps if largest * step[1] >= 1), steps[-1])


def ticks_up_to(largest: float) -> list[float]:
    """Return three to six round numbers from 0, the last not below the largest."""
    step = 1.0
    while step * 5 < largest:
        step *= 10
    while step * 5 / 10 >= largest > 0:
        step /= 10
    step = next(step * part for part in (0.2, 0.5, 1.0) if step * part * 5 >= largest)
    return [step * k for k in range(6) if step * (k - 1) < largest]


def drawn(panel: Panel, published: Published, unit: str, colours: dict[str, str]) -> str:
    """Return the SVG of a panel; a pointer that rests on a dot is told commit, date and value."""
    largest = max(point.value for line in panel.lines for point in line.points)
    unit, factor = scale_of(unit, largest)
    ticks = ticks_up_to(largest * factor)
    last = max(1, len(published.revisions) - 1)

    def x(position: int) -> float:
        return LEFT + 8 + (WIDTH - LEFT - 8 - RIGHT) * position / last

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / (ticks[-1] or 1.0)

    def parts() -> Iterator[str]:
        for tick in ticks:
            yield f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#ddd"/>'
            text = f"{tick:.4g}" + (f" {unit}" if unit in dict(STEPS["seconds"] + STEPS["bytes"]) else "")
            yield f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        every = -(-len(published.revisions) // 6)
        for k in range(0, len(published.revisions), every):
            yield f'<text x="{x(k):.1f}" y="{HEIGHT - 14}" text-anchor="middle">{published.hashes[k][:7]}</text>'
        for line in panel.lines:
            colour = colours[line.label]
            dots = [(x(point.position), y(point.value * factor), point) for point in line.points]
            path = " ".join(f"{across:.1f},{down:.1f}" for across, down, _ in dots)
            yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            for across, down, point in dots:
                commit = f"{published.hashes[point.position][:8]}, {published.dates[point.position]}"
                said = escape(f"{line.label}: {point.value * factor:.4g} {unit}\n{commit}")
                place = f'cx="{across:.1f}" cy="{down:.1f}"'
                yield f'<circle {place} r="3.5" fill="{colour}"><title>{said}</title></circle>'

    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{escape(panel.title)}">{"".join(parts())}</svg>'
    )


def section(name: str, published: Published) -> str:
    """Return all graphs of a benchmark under its name, or nothing if it has none."""
    panels = published.panels(name)
    if not panels:
        return ""
    benchmark = published.benchmarks[name]
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    colours = {label: COLOURS[k % len(COLOURS)] for k, label in enumerate(labels)}
    keys = "".join(f'<span class="key" style="--colour: {colours[label]}">{escape(label)}</span>' for label in labels)
    figures = "".join(
        f"<figure><figcaption>{escape(panel.title)}</figcaption>"
        f"{drawn(panel, published, benchmark['unit'], colours)}</figure>"
        for panel in panels
    )
    return (
        f'<h2 id="{escape(name)}">{escape(readable(name))}</h2>\n<p>{escape(benchmark["unit"])}'
        f" by {escape(', '.join(benchmark['param_names']) or 'commit')}. {keys}</p>\n{figures}\n"
    )


def readable(name: str) -> str:
    """Return a benchmark's name in words: activations.Softmax.time_into is Softmax: time into, of activations."""
    *modules, what = name.split(".")
    return f"{' · '.join(modules)}: {what.replace('_', ' ')}"


def described(machine: str, facts: dict[str, str]) -> str:
    """Return a machine's name and what is known of it."""
    return ", ".join([machine, *(said.format(facts[fact]) for fact, said in FACTS.items() if facts.get(fact))])


def page(published: Published) -> str:
    """Return the whole page."""
    sections = {name: section(name, published) for name in sorted(published.benchmarks)}
    links = "".join(f'<a href="#{escape(name)}">{escape(readable(name))}</a> ' for name in sections if sections[name])
    commits = "".join(
        f"<tr><td><code>{commit[:8]}</code></td><td>{date}</td></tr>"
        for commit, date in zip(published.hashes, published.dates, strict=True)
    )
    machines = "".join(f"<li>{escape(described(name, facts))}</li>" for name, facts in published.machines.items())
    title = f"{escape(published.project)}, commit by commit"
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<style>{STYLE}</style></head>
<body>
<h1>{title}</h1>
<p>Medians by asv, each dot one commit; all axes begin at 0. Times on one thread are processor time. Machines:</p>
<ul>{machines}</ul>
<details><summary>{len(published.hashes)} commits, oldest first</summary><table>{commits}</table></details>
<nav>{links}</nav>
{"".join(sections.values())}
</body>
</html>
"""


def main() -> int:
    """Write the page where ``asv publish`` has been."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else HTML
    index = directory / "index.html"
    text = page(Published(directory))
    if "asv.js" in index.read_text("utf-8"):
        index.replace(directory / "asv.html")
    index.write_text(text, "utf-8")
    print(f"{index}: opens in any browser, without a network")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``softmaxjit bench``: speed side by side with the peers that are installed."""

import importlib.util
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape

from . import CommandError
from .bench_figure import check_figure, save_bench_figure
from .bench_tables import summary_of, table_of
from .contenders import CONTENDERS
from .problem import Setting, parsed_shape
from .standings import IDLE_LOAD, Standings
from .table import SHAPES
from .turns import MODES, Match
from .whole_files import check_writable, whole_file

STANDARD_OUTPUT = Path("-")


class Options(NamedTuple):
    """What the user asked for."""

    operation: str
    shapes: tuple[str, ...]  # none: SHAPES
    dtype: str
    threads: int
    starts: int
    rounds: int
    plot: Path | None
    json: Path | None


def bench(options: Options) -> None:
    """Measure, print tables, and write what was asked for.

    Parameters
    ----------
    options : Options
        What to measure, and where its figure and its numbers go.

    Raises
    ------
    CommandError
        A shape is no shape, or a file cannot be written; before anything is measured as far as can be known.
    """
    settings = settings_of(options)
    check_outputs(options)
    console = Console(stderr=options.json == STANDARD_OUTPUT, highlight=False, soft_wrap=True)
    machine = facts_about_the_machine()
    console.print(
        f"{options.operation} of {options.dtype}, {options.threads} thread(s) each, {escape(machine['processor'])}"
    )
    names, warnings = installed()
    warnings = warnings_about_the_machine(machine, options) + warnings
    versions = {"Python": platform.python_version()}
    standings = []
    for setting in settings:
        console.print(f"\n[bold]{setting.title}[/bold]")
        match = Match(names, setting)
        for _ in range(options.starts):
            match.play(options.rounds)
        versions |= match.versions
        measured = Standings(setting, match.turns)
        standings.append(measured)
        for name, reason in match.left_out.items():
            warnings.append(f"{setting.title}: {CONTENDERS[name].title} left out, {reason}")
        for name, error in match.off.items():
            warnings.append(f"{setting.title}: {CONTENDERS[name].title} is off by up to {100 * error:.2g} %")
        warnings += measured.remarks()
        print_tables(console, measured)
    print_summary(console, standings)
    console.print(escape("\n" + ", ".join(" ".join(pair) for pair in versions.items())))
    console.print("\n[bold]Not measured cleanly[/bold]" if warnings else "\nAll was measured cleanly.")
    for line in warnings:
        console.print(escape(line))
    if options.json is not None:
        write_json(options, machine, versions, standings, warnings)
    if options.plot is not None:
        save_bench_figure(options.plot, standings, f"{options.operation}, {options.dtype}, {options.threads} thread(s)")
        console.print(f"\nFigure: {escape(str(options.plot))}")


def print_tables(console: Console, measured: Standings) -> None:
    """Print the speeds in one setting, a table for each mode."""
    if not measured.turns:
        console.print("Nothing was measured: every contender was left out.")
    for mode in MODES:
        if measured.entrants(mode):
            console.print(table_of(measured, mode))


def print_summary(console: Console, standings: list[Standings]) -> None:
    """Print how softmaxjit did in all settings, if anything was measured."""
    summary = summary_of(standings)
    if not summary.row_count:
        return
    console.print("\n[bold]Summary[/bold]")
    console.print(summary)
    console.print(
        "A ratio is to the best peer. The roof is a copy of as many bytes with stores past the caches: above 1 caches"
        "\nhelp, and logsumexp writes less."
    )


def settings_of(options: Options) -> list[Setting]:
    """Return what is to be measured."""
    texts = options.shapes or tuple(text for regime in SHAPES.values() for text in regime)
    settings = []
    for text in texts:
        shape, axis = parsed_shape(text)
        settings.append(Setting(options.operation, shape, axis, options.dtype, options.threads))
    return settings


def check_outputs(options: Options) -> None:
    """Raise CommandError for what would make it impossible to write the results, before they are measured."""
    json_file = None if options.json == STANDARD_OUTPUT else options.json
    if json_file and options.plot and os.path.realpath(json_file) == os.path.realpath(options.plot):
        raise CommandError(f"--json {json_file} and --plot {options.plot} are one file; accepted are two", 2)
    if json_file is not None:
        check_writable(json_file, f"--json {json_file}")
    if options.plot is not None:
        check_figure(options.plot)
        check_writable(options.plot, f"--plot {options.plot}")
    if options.dtype == "bfloat16" and importlib.util.find_spec("ml_dtypes") is None:
        raise CommandError("--dtype is bfloat16, which NumPy has from another package: pip install ml_dtypes", 2)


def installed() -> tuple[list[str], list[str]]:
    """Return the contenders that can be imported, and a line for each that cannot."""
    names, lines = [], []
    for name, contender in CONTENDERS.items():
        missing = [module for module in contender.modules if importlib.util.find_spec(module) is None]
        if missing:
            lines.append(f"{contender.title} is not installed ({', '.join(missing)})")
        else:
            names.append(name)
    return names, lines


def facts_about_the_machine() -> dict[str, Any]:
    """Return what decides speed besides the software; the load is the average of the last minute."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def warnings_about_the_machine(machine: dict[str, Any], options: Options) -> list[str]:
    """Return a line for each circumstance that disturbs all."""
    lines = []
    if (machine["load_before"] or 0.0) > IDLE_LOAD:
        lines.append(f"the machine was busy before the start: load average {machine['load_before']:.1f}")
    if options.threads > (machine["cores"] or options.threads):
        lines.append(f"{options.threads} threads shared {machine['cores']} cores")
    return lines


def write_json(
    options: Options,
    machine: dict[str, Any],
    versions: dict[str, str],
    standings: list[Standings],
    warnings: list[str],
) -> None:
    """Write everything for machines."""
    assert options.json is not None  # noqa: S101  for mypy
    paths = {
        name: value if value is None else str(value) for name, value in (("plot", options.plot), ("json", options.json))
    }
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions,
        "machine": machine,
        "options": {**options._asdict(), "shapes": [measured.setting.title for measured in standings], **paths},
        "shapes": [measured.as_json() for measured in standings],
        "warnings": warnings,
    }
    text = json.dumps(document, indent=1) + "\n"
    if options.json == STANDARD_OUTPUT:
        sys.stdout.write(text)
        return
    with whole_file(options.json, f"--json {options.json}") as file:
        file.write(text.encode())

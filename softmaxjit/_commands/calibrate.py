"""``softmaxjit calibrate``: fit a temperature to logits and labels in files, and report what it does."""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..calibration import CalibrationReport, TemperatureFit, calibration_report, fit_temperature, reliability_diagram
from . import CommandError
from .apply import apply
from .bench_figure import check_figure, format_of
from .npy_files import read_map
from .whole_files import check_writable, whole_file

Array = np.ndarray[Any, Any]

METRICS = {
    "accuracy": "accuracy",
    "nll": "log-loss (nats)",
    "brier_score": "Brier score",
    "expected_calibration_error": "calibration error",
}


class Options(NamedTuple):
    """What the command line asks for."""

    output: Path | None
    plot: Path | None
    json: bool
    fit_on_all: bool
    bins: int
    resamples: int
    seed: int


class Calibration(NamedTuple):
    """What was found."""

    fit: TemperatureFit
    fitted: int  # rows that it was fitted to
    before: CalibrationReport
    after: CalibrationReport


def calibrate(logits_path: Path, labels_path: Path, options: Options) -> None:
    """Fit, report, and write what was asked for.

    Parameters
    ----------
    logits_path, labels_path : Path
        .npy files of shape (rows, classes) and (rows,).
    options : Options
        What to do.

    Raises
    ------
    CommandError
        A file cannot be read or written, or does not hold what it should.
    """
    logits, labels = read_map(logits_path).array, read_map(labels_path).array
    if options.plot is not None:
        check_figure(options.plot)
        check_writable(options.plot, f"--plot {options.plot}")
    if options.output is not None:
        check_writable(options.output, f"OUT {options.output}")
        for path, refusal in (
            (labels_path, f"OUT is {options.output}, which holds the labels"),
            (options.plot, f"OUT and --plot are both {options.output}"),
        ):
            if path is not None and path.resolve() == options.output.resolve():
                raise CommandError(f"{refusal}; accepted are different files", 2)
    try:
        calibration = calibrated(logits, labels, options)
    except (TypeError, ValueError) as error:
        raise CommandError(f"{logits_path} with {labels_path}: {error}") from None
    if options.json:
        sys.stdout.write(json.dumps(document_of(calibration), indent=1) + "\n")
    else:
        show(calibration, options)
    if options.plot is not None:
        figure = reliability_diagram(calibration.before.curve, calibration.after.curve)
        with whole_file(options.plot, f"--plot {options.plot}") as file:
            figure.savefig(file, dpi=150, format=format_of(options.plot))
    if options.output is not None:
        apply(logits_path, options.output, "softmax", -1, calibration.fit.temperature)


def calibrated(logits: Array, labels: Array, options: Options) -> Calibration:
    """Fit on one half of the rows, drawn at random, and report on the other, or both on all."""
    if logits.ndim != 2:
        raise ValueError(f"logits has shape {logits.shape}; accepted is (rows, classes)")
    rows = len(logits)
    chosen = np.zeros(rows, bool)
    if not options.fit_on_all:
        if rows < 2:
            raise ValueError(
                f"logits has shape {logits.shape}; accepted are 2 rows, one to fit and one to report, or more"
            )
        chosen[np.random.default_rng(options.seed).permutation(rows)[: rows // 2]] = True
    arguments: dict[str, Any] = {
        "where": None if options.fit_on_all else ~chosen,
        "n_bins": options.bins,
        "n_resamples": options.resamples,
    }
    before = calibration_report(logits, labels, rng=options.seed, **arguments)
    fit = fit_temperature(logits, labels, sample_weight=None if options.fit_on_all else chosen.astype(np.float64))
    after = calibration_report(logits, labels, rng=options.seed, temperature=fit.temperature, **arguments)
    return Calibration(fit, rows if options.fit_on_all else int(chosen.sum()), before, after)


def show(calibration: Calibration, options: Options) -> None:
    """Print a table."""
    console = Console(highlight=False, soft_wrap=True)
    fit, before, after = calibration.fit, calibration.before, calibration.after
    console.print(f"[bold]Temperature {fit.temperature:.4f}[/bold], fitted to {calibration.fitted} rows", end="")
    console.print(f" in {fit.iterations} passes over the logits." if fit.converged else "; not converged.")
    if fit.at_bound:
        console.print(
            "These rows have no best temperature: "
            + ("each label is the largest logit." if fit.temperature == 0 else "the logits say nothing of the labels.")
        )
    same = "the same rows" if options.fit_on_all else f"{before.rows} other rows"
    level = f"{before.nll.confidence_level:.0%}"
    table = Table(f"On {same}", "before", f"{level} interval", "after", f"{level} interval")
    for name, title in METRICS.items():
        cells = [title]
        for interval in (getattr(before, name), getattr(after, name)):
            cells += [f"{interval.value:.4f}", f"{interval.low:.4f} to {interval.high:.4f}"]
        table.add_row(*cells)
    console.print(table)
    for title, path in (("Probabilities", options.output), ("Figure", options.plot)):
        if path is not None:
            console.print(f"{title}: {escape(str(path))}")


def document_of(calibration: Calibration) -> dict[str, Any]:
    """Return all numbers for machines; a number that is none, or infinite, is null."""
    fit, before, after = calibration.fit, calibration.before, calibration.after
    return {
        "temperature": _number(fit.temperature),
        "converged": fit.converged,
        "at_bound": fit.at_bound,
        "iterations": fit.iterations,
        "rows": {"fitted": calibration.fitted, "reported": before.rows},
        "confidence_level": before.nll.confidence_level,
        "before": _report(before),
        "after": _report(after),
    }


def _report(report: CalibrationReport) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        name: {part: _number(getattr(getattr(report, name), part)) for part in ("value", "low", "high")}
        for name in METRICS
    }
    curve = {name: [_number(value) for value in values.tolist()] for name, values in report.curve._asdict().items()}
    return metrics | {"curve": curve}


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None

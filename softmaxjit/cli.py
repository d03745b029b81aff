"""The command line: what its arguments are.  What the commands do is in ``_commands``."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from . import __version__
from ._commands import CommandError
from ._commands.apply import OPERATIONS, apply
from ._commands.bench import Options, bench
from ._commands.calibrate import Options as CalibrateOptions
from ._commands.calibrate import calibrate
from ._commands.demo import demo
from ._commands.info import info
from ._commands.table import DTYPES
from ._commands.table import OPERATIONS as COMPARED
from ._commands.warmup import warmup
from ._warmup import ALL_DTYPES, ALL_OPERATIONS

# Whether a file can be read is found out by reading it.
FILE = click.Path(path_type=Path, readable=False)


def parsed_axis(_context: click.Context, _parameter: click.Parameter, value: str) -> int | None:
    """Return the axis as the library takes it."""
    if value == "none":
        return None
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither an integer nor none") from None


@click.group(invoke_without_command=True)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def commands(context: click.Context) -> None:
    """Softmax, log-softmax and log-sum-exp on the CPU: fast, accurate, the same bits everywhere."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@commands.command("demo")
@click.option(
    "--figure",
    type=FILE,
    default=Path("softmaxjit-demo.png"),
    show_default=True,
    help="Where the figure goes.",
)
def demo_command(figure: Path) -> None:
    """Show the library at work on real logits."""
    demo(figure)


@commands.command("info")
def info_command() -> None:
    """Print what a bug report needs to say."""
    info()


@commands.command("apply")
@click.argument("source", metavar="IN.npy", type=FILE)
@click.option("-o", "--output", "target", metavar="OUT.npy", required=True, type=FILE, help="May be IN.npy.")
@click.option("--op", "operation", type=click.Choice(list(OPERATIONS)), default="softmax", show_default=True)
@click.option(
    "--axis",
    metavar="INTEGER|none",
    default="-1",
    show_default=True,
    callback=parsed_axis,
    help="Axis of one distribution; none takes all.",
)
@click.option("--temperature", type=float, default=1.0, show_default=True, help="From 0 to inf; not in logsumexp.")
def apply_command(source: Path, target: Path, operation: str, axis: int | None, temperature: float) -> None:
    """Apply softmax to a .npy file of any size.

    Memory stays bounded. OUT.npy appears, or is replaced, when it is complete, and has the memory order of IN.npy.
    Rows above 64 MiB that do not lie in one piece in IN.npy need free disk space for a second copy of it; rows of
    longdouble need memory for several copies of one.

    Ctrl-C leaves OUT.npy as it was. It is heeded after each block of 64 MiB; a row above that is one step.
    """
    apply(source, target, operation, axis, temperature)


@commands.command("bench")
@click.option("--op", "operation", type=click.Choice(list(COMPARED)), default="softmax", show_default=True)
@click.option(
    "--shape",
    "shapes",
    metavar="SHAPE",
    multiple=True,
    help="Such as 1024x1000, or 512x65536@0 for rows along axis 0. May be given several times; 15 shapes without.",
)
@click.option("--dtype", type=click.Choice(list(DTYPES)), default="float32", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of each contender.")
@click.option("--starts", type=click.IntRange(1), default=3, show_default=True, help="Of each contender.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Turns after each start.")
@click.option("--plot", type=FILE, help="Where a figure goes.")
@click.option("--json", type=FILE, help="Where all numbers go; - is standard output, and all else goes to the other.")
def bench_command(**options: Any) -> None:
    """Compare speed with the peers that are installed.

    These are ONNX Runtime, PyTorch, JAX, SciPy and NumPy. Each contender has its own process and as many threads; the
    processes take turns. A shape takes about a minute. What could not be measured cleanly is said at the end.

    Ctrl-C ends it; files are then as they were.
    """
    bench(Options(**options))


@commands.command("warmup")
@click.option(
    "--op", "operations", type=click.Choice(list(ALL_OPERATIONS)), multiple=True, help="May be given several times."
)
@click.option(
    "--dtype", "dtypes", type=click.Choice(list(ALL_DTYPES)), multiple=True, help="May be given several times."
)
@click.option("--all", "everything", is_flag=True, help="Masks, weights, labels, any temperatures; all dtypes.")
def warmup_command(operations: Sequence[str], dtypes: Sequence[str], everything: bool) -> None:
    """Compile ahead, for the cache, what calls from Python would compile.

    By default softmax, log_softmax, logsumexp and their gradients for float32 and float64, without masks, weights and
    temperatures by row or outside 2**-40 to 2**40. It takes a minute or two, with --all many. What is in the cache
    already is loaded.
    """
    warmup(operations, dtypes, everything)


@commands.command("calibrate")
@click.argument("logits", metavar="LOGITS.npy", type=FILE)
@click.argument("labels", metavar="LABELS.npy", type=FILE)
@click.option("-o", "--output", metavar="OUT.npy", type=FILE, help="Where calibrated probabilities of all rows go.")
@click.option("--plot", type=FILE, help="Where the reliability diagram goes.")
@click.option("--json", is_flag=True, help="Print all numbers as JSON instead of a table.")
@click.option("--fit-on-all", is_flag=True, help="Fit to all rows and report on the same.")
@click.option("--bins", type=click.IntRange(1), default=15, show_default=True, help="Of confidence, of equal width.")
@click.option("--resamples", type=click.IntRange(1), default=2000, show_default=True, help="For the intervals.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the halves and the intervals.")
def calibrate_command(logits: Path, labels: Path, **options: Any) -> None:
    """Fit a temperature, and say what it does to calibration.

    LOGITS.npy has shape (rows, classes), LABELS.npy the true classes, integers from 0. They are to be data that the
    classifier was not trained on. The temperature is fitted to one half of the rows, drawn at random; the table is of
    the other half.
    """
    calibrate(logits, labels, CalibrateOptions(**options))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status, having said in one line what went wrong if anything did."""
    try:
        with _flushed_output():
            status = commands.main(arguments, prog_name="softmaxjit", standalone_mode=False)
    except click.ClickException as error:
        return _failed(error.format_message(), error.exit_code)
    except CommandError as error:
        return _failed(str(error), error.status)
    except MemoryError:
        return _failed("not enough memory", 1)
    except (KeyboardInterrupt, click.Abort):
        return _failed("stopped", 130)
    return status if isinstance(status, int) else 0


@contextmanager
def _flushed_output() -> Iterator[None]:
    """Flush standard output while a failure can still be said in one line: at the interpreter's end it is too late."""
    try:
        yield
        if sys.stdout is not None:  # None: the stream is closed
            sys.stdout.flush()
    except OSError as error:
        # What the stream still holds goes nowhere, or its last flush would fail too.
        with suppress(OSError, AttributeError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # whoever read it has read enough
            raise SystemExit(1) from None
        raise CommandError(f"{error.filename or 'standard output'}: {error.strerror}") from None


def _failed(message: str, status: int) -> int:
    click.echo("softmaxjit: " + " ".join(message.split()), err=True)
    return status

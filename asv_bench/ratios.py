"""The table of ratios in the README: ``python asv_bench/ratios.py`` writes it from ``ratios.json``.

With ``--measure`` it first measures anew, by ``softmaxjit bench``, and keeps what the table needs in that file.
"""

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from softmaxjit._commands.bench import Options, bench, facts_about_the_machine
from softmaxjit._commands.contenders import CONTENDERS, ROOF
from softmaxjit._commands.standings import IDLE_LOAD
from softmaxjit._commands.table import PEERS, SHAPES, shape_and_axis
from softmaxjit._commands.turns import MODES

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
NUMBERS = Path(__file__).with_name("ratios.json")
BEGIN, END = "<!-- ratios: make ratios -->\n", "<!-- end of ratios -->\n"

# How often all are started, and how many turns they take each time.  With ten million elements and more it takes half a
# minute until all have started and been checked, and a round takes seconds.
MANY_ELEMENTS = 10_000_000
STARTS, ROUNDS = 2, 4
STARTS_OF_MANY, ROUNDS_OF_MANY = 1, 5

# Softmax of float32 in two shapes of each regime, on one thread and two; then other operations and dtypes in one.
IN_FLOAT32 = (
    *("1024x1000", "32x128256", "100000x10", "1000000x2"),
    *("64x1000x49@1", "512x65536@0", "65536x512", "30000000"),
)
OTHERS = (
    ("softmax", "float64"),
    ("log_softmax", "float32"),
    ("logsumexp", "float32"),
    ("softmax", "float16"),
    ("softmax", "bfloat16"),
)
SHAPE_OF_OTHERS = "1024x1000"
REGIMES = {shape: regime for regime, shapes in SHAPES.items() for shape in shapes}


class Row(NamedTuple):
    """What is measured together, and becomes a row of the table."""

    operation: str
    dtype: str
    shape: str
    threads: int

    @property
    def is_of_many(self) -> bool:
        """Whether it has so many elements that it is measured less often."""
        return math.prod(shape_and_axis(self.shape)[0]) >= MANY_ELEMENTS


ROWS = (
    *(Row("softmax", "float32", shape, threads) for shape in IN_FLOAT32 for threads in (1, 2)),
    *(Row(operation, dtype, SHAPE_OF_OTHERS, 1) for operation, dtype in OTHERS),
)

Ratios = dict[str, dict[str, float]]  # of a contender and a mode


def measured(starts: int | None, rounds: int | None) -> dict[str, Any]:
    """Measure every row, and return what the table says and how it was come by."""
    machine = facts_about_the_machine()
    del machine["system"]  # its build is nobody's business
    results, versions = [], {}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "row.json"
        for k, row in enumerate(ROWS):
            often = (
                starts or (STARTS_OF_MANY if row.is_of_many else STARTS),
                rounds or (ROUNDS_OF_MANY if row.is_of_many else ROUNDS),
            )
            print(f"\n{k + 1} of {len(ROWS)}", flush=True)
            bench(Options(row.operation, (row.shape,), row.dtype, row.threads, *often, None, file))
            document = json.loads(file.read_text("utf-8"))
            versions |= document["versions"]
            ratios = ratios_of(document["shapes"][0])
            results.append({**row._asdict(), "starts": often[0], "rounds": often[1], "ratios": ratios})
    return {"date": document["date"][:10], "machine": machine, "versions": versions, "rows": results}


def ratios_of(shape: dict[str, Any]) -> Ratios:
    """Return the ratios to each contender that was there, and the fraction of the roof, in each mode."""
    ratios = {
        peer: {mode: round(found["softmaxjit_is_times_as_fast"], 4) for mode, found in modes.items()}
        for peer, modes in shape["contenders"].items()
        if peer in PEERS
    }
    roof = {mode: round(found, 4) for mode, found in shape["fraction_of_roof"].items() if found is not None}
    return ratios | ({ROOF: roof} if roof else {})


def cell(modes: dict[str, float]) -> str:
    """Return the ratio with ``out=`` and that of allocating, as far as there are such."""
    return " / ".join(f"{modes[mode]:.2f}" if mode in modes else "–" for mode in MODES) if modes else ""


def table(numbers: dict[str, Any]) -> str:
    """Return the table as the README has it, with the day, the machine and the versions."""
    machine, versions = numbers["machine"], numbers["versions"]
    titles = []
    for name in (*PEERS, ROOF):
        version = versions.get(CONTENDERS[name].modules[0], "") if name != ROOF else ""
        titles.append(f"{CONTENDERS[name].title} {version}".strip())
    lines = [["", "shape", "threads", *titles], ["---"] * (len(titles) + 3)]
    for row in numbers["rows"]:
        what = f"{row['operation']}, {row['dtype']}"
        cells = [cell(row["ratios"].get(name, {})) for name in (*PEERS, ROOF)]
        lines.append([what, f"{row['shape']}, {REGIMES[row['shape']]}", str(row["threads"]), *cells])
    known = sorted({row["starts"] * row["rounds"] for row in numbers["rows"] if row["starts"]})
    rounds = f" A ratio is the median of {' or '.join(map(str, known))} rounds." if known else ""
    busy = (machine["load_before"] or 0.0) > IDLE_LOAD
    noise = f" The machine was busy (load average {machine['load_before']:.1f})." if busy else ""
    return (
        f"How many times as fast softmaxjit is with `out=` / allocating, with equal threads, on {numbers['date']}:"
        f" {machine['processor']}, {machine['cores']} cores; NumPy {versions['numpy']}.{rounds}{noise}\n\n"
        + "".join(f"| {' | '.join(line)} |\n" for line in lines)
    )


def with_table(readme: str, numbers: dict[str, Any]) -> str:
    """Return the README with its table replaced."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no {BEGIN.strip()} or no {END.strip()} after it")
    return before + begin + table(numbers) + end + after


def main() -> int:
    """Write the table, measured anew if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="takes about twelve minutes")
    parser.add_argument("--starts", type=int, help=f"{STARTS}, of ten million elements and more {STARTS_OF_MANY}")
    parser.add_argument("--rounds", type=int, help=f"{ROUNDS}, of ten million elements and more {ROUNDS_OF_MANY}")
    parser.add_argument("--busy", action="store_true", help="measure although the machine has other work")
    options = parser.parse_args()
    if options.measure:
        load = facts_about_the_machine()["load_before"] or 0.0
        if load > IDLE_LOAD and not options.busy:
            # With ten processes for two cores a ratio of about 4, to SciPy, came out as 72.
            print(f"The load average is {load:.1f}: ratios would mean nothing. --busy measures nevertheless.")
            return 1
        NUMBERS.write_text(json.dumps(measured(options.starts, options.rounds), indent=1) + "\n", "utf-8")
    numbers = json.loads(NUMBERS.read_text("utf-8"))
    README.write_text(with_table(README.read_text("utf-8"), numbers), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The table of ratios in the README: ``python asv_bench/ratios.py`` writes it from ``ratios.json``.

With ``--measure`` it first measures anew, by ``softmaxjit bench``, and keeps what the table needs in that file.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from softmaxjit._commands.bench import Options, bench, facts_about_the_machine
from softmaxjit._commands.contenders import CONTENDERS, ROOF
from softmaxjit._commands.standings import IDLE_LOAD
from softmaxjit._commands.table import DTYPES, PEERS, SHAPES

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
NUMBERS = Path(__file__).with_name("ratios.json")
BEGIN, END = "<!-- ratios: make ratios -->\n", "<!-- end of ratios -->\n"

OPERATION, THREADS = "softmax", 1
FLOATS = DTYPES[:2]
REGIMES = {regime: shapes[0] for regime, shapes in SHAPES.items()}


def measured(starts: int, rounds: int) -> dict[str, Any]:
    """Measure a shape of each regime in each dtype, and return what the table says and how it was come by."""
    ratios: dict[str, dict[str, dict[str, float | None]]] = {}
    with tempfile.TemporaryDirectory() as directory:
        for dtype in FLOATS:
            file = Path(directory) / f"{dtype}.json"
            bench(Options(OPERATION, tuple(REGIMES.values()), dtype, THREADS, starts, rounds, None, file))
            document = json.loads(file.read_text("utf-8"))
            for text, shape in zip(REGIMES.values(), document["shapes"], strict=True):
                ratios.setdefault(text, {})[dtype] = ratios_of(shape)
    return {
        "date": document["date"][:10],
        "machine": document["machine"],
        "versions": document["versions"],
        "starts": starts,
        "rounds": rounds,
        "ratios": ratios,
    }


def ratios_of(shape: dict[str, Any]) -> dict[str, float | None]:
    """Return the ratio to each peer: both with ``out=``, or both allocating if the peer knows no other way."""
    ratios: dict[str, float | None] = {}
    for peer in PEERS:
        modes = shape["contenders"].get(peer, {})
        mode = modes.get("into") or modes.get("allocating")
        ratios[peer] = None if mode is None else round(mode["softmaxjit_is_times_as_fast"], 4)
    ratios[ROOF] = round(shape["fraction_of_roof"]["into"], 4)
    return ratios


def table(numbers: dict[str, Any]) -> str:
    """Return the table as the README has it, with the day, the machine and the versions."""
    machine, versions = numbers["machine"], numbers["versions"]
    titles = []
    for name in (*PEERS, ROOF):
        version = versions.get(CONTENDERS[name].modules[0], "") if name != ROOF else ""
        titles.append(f"{CONTENDERS[name].title} {version}".strip())
    rows = [["softmax of", "", *titles], ["---"] * (len(titles) + 2)]
    for regime, text in REGIMES.items():
        for dtype, found in numbers["ratios"].get(text, {}).items():
            cells = ["" if found[name] is None else f"{found[name]:.2f} ×" for name in (*PEERS, ROOF)]
            rows.append([f"{text}, {regime}", dtype, *cells])
    known = numbers["starts"] is not None
    rounds = f" A ratio is the median of {numbers['starts']} × {numbers['rounds']} rounds." if known else ""
    busy = (machine["load_before"] or 0.0) > IDLE_LOAD
    noise = f" The machine was busy (load average {machine['load_before']:.1f})." if busy else ""
    return (
        f"How many times as fast softmaxjit is, one thread each, on {numbers['date']}: {machine['processor']},"
        f" {machine['cores']} cores; NumPy {versions['numpy']}.{rounds}{noise}\n\n"
        + "".join(f"| {' | '.join(row)} |\n" for row in rows)
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
    parser.add_argument("--measure", action="store_true", help="takes about ten minutes")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
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

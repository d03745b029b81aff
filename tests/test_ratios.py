"""The README's table of ratios is what its generator makes of the numbers that are kept."""

import copy
import json
import re
from typing import Any

import pytest

from softmaxjit._commands.contenders import CONTENDERS, OURS
from softmaxjit._commands.table import DTYPES, OPERATIONS, SHAPES

from .scripts import ROOT, script

ratios = script("ratios")
NUMBERS = json.loads((ROOT / "asv_bench" / "ratios.json").read_text("utf-8"))
README = (ROOT / "README.md").read_text("utf-8")


def test_the_readme_has_the_table_that_the_generator_makes_of_the_numbers() -> None:
    assert ratios.with_table(README, NUMBERS) == README
    for edited in (
        README.replace("| shape | threads |", "| shape | |"),
        re.sub(r"(\d)\.(\d\d) /", r"\1.\2\2 /", README, count=1),
        README.replace(NUMBERS["date"], "some day", 1),
    ):
        assert edited != README
        assert ratios.with_table(edited, NUMBERS) == README
    other = copy.deepcopy(NUMBERS)
    other["rows"][0]["ratios"]["scipy"]["allocating"] += 1
    assert ratios.with_table(README, other) != README
    with pytest.raises(ValueError, match=r"README\.md has no"):
        ratios.with_table("nothing", NUMBERS)


def test_the_table_names_day_machine_regimes_and_everyone() -> None:
    table: str = ratios.table(NUMBERS)
    assert re.search(r"on 20\d\d-\d\d-\d\d: ", table)
    assert NUMBERS["machine"]["processor"] in table
    for name, contender in CONTENDERS.items():
        assert (contender.title in table.split("\n\n")[1]) == (name != OURS)
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert len({row.count("|") for row in rows}) == 1
    assert len(rows) == 2 + len(NUMBERS["rows"])
    fields = ratios.Row._fields
    assert {tuple(row[field] for field in fields) for row in NUMBERS["rows"]} <= set(ratios.ROWS)


def test_what_is_measured_covers_every_regime_both_numbers_of_threads_all_operations_and_dtypes() -> None:
    assert len(set(ratios.ROWS)) == len(ratios.ROWS)
    in_float32 = {(row.shape, row.threads) for row in ratios.ROWS if row[:2] == ("softmax", "float32")}
    shapes = {shape for shape, _ in in_float32}
    assert len(shapes) == 8
    assert in_float32 == {(shape, threads) for shape in shapes for threads in (1, 2)}
    assert {ratios.REGIMES[shape] for shape in shapes} == set(SHAPES)
    assert {row.operation for row in ratios.ROWS} == set(OPERATIONS)
    assert {row.dtype for row in ratios.ROWS} == set(DTYPES)


def test_a_row_has_the_ratios_of_both_modes_and_the_fraction_of_the_roof() -> None:
    def times(ratio: float | None) -> dict[str, float | None]:
        return {"softmaxjit_is_times_as_fast": ratio}

    shape = {
        "contenders": {
            "softmaxjit": {"into": times(None), "allocating": times(None)},
            "torch": {"into": times(2.0), "allocating": times(9.00004)},
            "jax": {"allocating": times(3.0)},
            "copy": {"into": times(None)},
        },
        "fraction_of_roof": {"into": 0.5, "allocating": None},
    }
    found = ratios.ratios_of(shape)
    assert found == {
        "torch": {"into": 2.0, "allocating": 9.0},
        "jax": {"allocating": 3.0},
        "copy": {"into": 0.5},
    }
    cells = [ratios.cell(found.get(name, {})) for name in ("torch", "jax", "copy", "scipy")]
    assert cells == ["2.00 / 9.00", "– / 3.00", "0.50 / –", ""]


def test_measuring_makes_a_row_of_each_by_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def bench(options: Any) -> None:
        asked.append(options)
        ours = {"into": {"softmaxjit_is_times_as_fast": None}}
        shape = {"contenders": {"softmaxjit": ours}, "fraction_of_roof": {"into": 0.5}}
        options.json.write_text(json.dumps({"date": "2030-01-02T03", "versions": {"numpy": "9"}, "shapes": [shape]}))

    machine = {"processor": "P", "cores": 2, "system": "S", "load_before": 0.1}
    monkeypatch.setattr(ratios, "bench", bench)
    monkeypatch.setattr(ratios, "facts_about_the_machine", lambda: dict(machine))
    numbers = ratios.measured(None, None)
    rows = [ratios.Row(o.operation, o.dtype, o.shapes[0], o.threads) for o in asked]
    assert rows == list(ratios.ROWS)
    assert "S" not in numbers["machine"].values()
    assert {(o.starts, o.rounds) for o in asked} == {(2, 4), (1, 5)}
    assert [row["shape"] for row in numbers["rows"]] == [row.shape for row in rows]
    assert "on 2030-01-02: P, 2 cores; NumPy 9. A ratio is the median of 5 or 8 rounds.\n" in ratios.table(numbers)
    ratios.measured(1, 3)
    assert {(o.starts, o.rounds) for o in asked[len(rows) :]} == {(1, 3)}


def test_nothing_is_measured_on_a_busy_machine_unless_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ratios, "facts_about_the_machine", lambda: {"load_before": 10.8})
    monkeypatch.setattr(ratios, "measured", None)
    monkeypatch.setattr("sys.argv", ["ratios.py", "--measure"])
    assert ratios.main() == 1
    assert capsys.readouterr().out.startswith("The load average is 10.8: ")

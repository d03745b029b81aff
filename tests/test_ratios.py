"""The README's table of ratios is what its generator makes of the numbers that are kept."""

import copy
import json
import re
from typing import Any

import pytest

from softmaxjit._commands.contenders import CONTENDERS, OURS

from .scripts import ROOT, script

ratios = script("ratios")
NUMBERS = json.loads((ROOT / "asv_bench" / "ratios.json").read_text("utf-8"))
README = (ROOT / "README.md").read_text("utf-8")


def test_the_readme_has_the_table_that_the_generator_makes_of_the_numbers() -> None:
    assert ratios.with_table(README, NUMBERS) == README
    for edited in (
        README.replace("| softmax of |", "| shape |"),
        re.sub(r"(\d)\.(\d\d) ×", r"\1.\2\2 ×", README, count=1),
        README.replace(NUMBERS["date"], "some day", 1),
    ):
        assert edited != README
        assert ratios.with_table(edited, NUMBERS) == README
    other = copy.deepcopy(NUMBERS)
    other["ratios"]["1024x1000"]["float32"]["scipy"] += 1
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
    assert set(NUMBERS["ratios"]) <= set(ratios.REGIMES.values())
    assert len(rows) == 2 + sum(map(len, NUMBERS["ratios"].values()))


def test_a_ratio_is_that_with_out_where_the_peer_has_it() -> None:
    def both(into: float | None, allocating: float) -> dict[str, Any]:
        modes = {} if into is None else {"into": {"softmaxjit_is_times_as_fast": into}}
        return modes | {"allocating": {"softmaxjit_is_times_as_fast": allocating}}

    shape = {"contenders": {"torch": both(2.0, 9.0), "jax": both(None, 3.0)}, "fraction_of_roof": {"into": 0.5}}
    found = ratios.ratios_of(shape)
    assert found == {"onnxruntime": None, "torch": 2.0, "jax": 3.0, "scipy": None, "numpy": None, "copy": 0.5}


def test_nothing_is_measured_on_a_busy_machine_unless_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ratios, "facts_about_the_machine", lambda: {"load_before": 10.8})
    monkeypatch.setattr(ratios, "measured", None)
    monkeypatch.setattr("sys.argv", ["ratios.py", "--measure"])
    assert ratios.main() == 1
    assert capsys.readouterr().out.startswith("The load average is 10.8: ")

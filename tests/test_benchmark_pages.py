"""The page of graphs from commit to commit needs no network, and the results of earlier commits are there."""

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from .scripts import ROOT, script

history_page = script("history_page")


class Fetched(HTMLParser):
    """Everything that a browser would get from elsewhere, or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "link", "img", "iframe", "object"}:
            self.found.append(tag)
        self.found += [f"{tag} {name}={value}" for name, value in attrs if "//" in (value or "")]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Write what ``asv publish`` would: three commits, two numbers of threads, two benchmarks and one never run."""
    environments = [{"machine": "m", "numba": "0.68.1", "env-NUMBA_NUM_THREADS": threads} for threads in ("2", "1")]
    benchmark = {"unit": "seconds", "params": [["'10'", "'5x7'"], ["'float32'"]], "param_names": ["shape", "dtype"]}
    index = {
        "project": "soft<max",
        "revision_to_hash": {"9": "c" * 40, "10": "a" * 40, "2": "b" * 40},
        "revision_to_date": {"9": 1_700_000_000_000, "10": 1_700_000_100_000, "2": 1_600_000_000_000},
        "params": {name: sorted({one[name] for one in environments}) for name in environments[0]},
        "graph_param_list": environments,
        "machines": {"m": {"machine": "m", "cpu": "A <fast> one", "num_cpu": "2"}},
        "benchmarks": {
            "a.B.time_it": benchmark,
            "a.peak": {"unit": "bytes", "params": [], "param_names": []},
            "a.never_run": {"unit": "ulp", "params": [], "param_names": []},
        },
    }
    (tmp_path / "index.json").write_text(json.dumps(index))
    (tmp_path / "index.html").write_text('<script src="asv.js"></script>')
    graphs = {"a.B.time_it": [[2, [3e-6, None]], [9, [2e-6, 5e-3]], [10, [1e-6, 4e-3]]], "a.peak": [[10, 150_000_000]]}
    for environment in environments:
        for name, graph in graphs.items():
            path = tmp_path / f"{history_page.Graph.get_file_path(environment, name)}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(graph))
    return tmp_path


def test_every_value_is_a_dot_that_says_what_it_is(published: Path) -> None:
    text = history_page.page(history_page.Published(published))
    graphs = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]  # noqa: S314  our own
    assert [len(graph.findall("circle")) for graph in graphs] == [6, 4, 2]
    said = [circle.findtext("title") for graph in graphs for circle in graph.findall("circle")]
    assert "float32, 1 thread(s): 3 µs\nbbbbbbbb, 2020-09-13 12:26" in said
    assert "float32, 2 thread(s): 4 ms\naaaaaaaa, 2023-11-14 22:15" in said
    assert "1 thread(s): 150 MB\naaaaaaaa, 2023-11-14 22:15" in said
    assert "never_run" not in text
    # Oldest to the left, however their numbers sort as text; the largest value at the top.
    line = graphs[0].findall("polyline")[0].get("points", "").split()
    across, down = zip(*(map(float, point.split(",")) for point in line), strict=True)
    assert sorted(across) == list(across)
    assert sorted(down) == list(down)
    assert 0 <= min(across) <= max(across) <= history_page.WIDTH
    assert 0 <= min(down) <= max(down) <= history_page.HEIGHT


def test_the_page_is_whole_without_a_network(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["history_page.py", str(published)])
    for _ in range(2):
        assert history_page.main() == 0
        text = (published / "index.html").read_text("utf-8")
        assert Fetched(text).found == []
        assert "soft&lt;max" in text
        assert "A &lt;fast&gt; one" in text
        assert (published / "asv.html").read_text("utf-8") == '<script src="asv.js"></script>'
    assert Fetched('<script src="https://x"></script>').found != []


def test_a_value_that_is_no_number_or_infinite_has_no_dot_and_leaves_the_others(published: Path) -> None:
    # An error is infinite where a commit gives nonsense, and asv keeps it.
    for path in published.rglob("a.peak.json"):
        path.write_text("[[2, Infinity], [9, NaN], [10, 150000000]]")
    text = history_page.page(history_page.Published(published))
    assert [len(re.findall("<circle", svg)) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)] == [6, 4, 2]


@pytest.mark.parametrize("largest", [1e-9, 0.3, 1.0, 1.01, 4.9, 5.0, 7.0, 99.0, 1234.5])
def test_ticks_are_few_and_reach_the_largest_value(largest: float) -> None:
    ticks = history_page.ticks_up_to(largest)
    assert ticks[0] == 0
    assert 3 <= len(ticks) <= 6
    assert largest <= ticks[-1] * (1 + 1e-12) < 3 * largest


def test_results_of_earlier_commits_are_there_and_belong_to_the_benchmarks() -> None:
    results = ROOT / "asv_bench" / ".asv" / "results"
    benchmarks = json.loads((results / "benchmarks.json").read_text("utf-8"))
    commits = set()
    for machine in results.glob("*/machine.json"):
        assert {"cpu", "num_cpu", "ram", "os", "arch"} <= set(json.loads(machine.read_text("utf-8")))
        for path in set(machine.parent.glob("*.json")) - {machine}:
            assert path.stat().st_size < 20_000
            document = json.loads(path.read_text("utf-8"))
            version = document["result_columns"].index("version")
            # What has another version is not published: its code, and so what it measures, was another.
            assert {name for name, row in document["results"].items() if row[version] == benchmarks[name]["version"]}
            commits.add(document["commit_hash"])
    assert len(commits) >= 3


def test_the_proof_finds_the_line_that_it_makes_slower(tmp_path: Path) -> None:
    proof = script("proof")
    (tmp_path / proof.HELPER).parent.mkdir(parents=True)
    (tmp_path / proof.HELPER).write_text((ROOT / proof.HELPER).read_text("utf-8"), "utf-8")
    proof.slower(tmp_path)
    assert (tmp_path / proof.HELPER).read_text("utf-8").count("fma(zero, y, y)") == proof.EXTRA
    (tmp_path / proof.HELPER).write_text("", "utf-8")
    with pytest.raises(RuntimeError, match="no longer has the line"):
        proof.slower(tmp_path)

"""``softmaxjit demo`` runs, says what is so, and ends well whatever becomes of its figure."""

import re
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from softmaxjit.__main__ import main
from softmaxjit._commands import demo
from softmaxjit._data import make_digits_logits

DATA = Path(str(resources.files("softmaxjit") / "_data" / "digits_logits.npz"))


@pytest.fixture(autouse=True)
def quick_in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "BATCH", (64, 100))
    monkeypatch.setattr(demo, "ROUNDS", 1)
    monkeypatch.chdir(tmp_path)


def names() -> list[str]:
    return [path.name for path in Path().iterdir()]


def scipy_loss(digits: demo.Digits, temperature: float) -> float:
    """Return the negative log-likelihood by other means, in float64."""
    log_p = scipy.special.log_softmax(digits.logits.astype(np.float64) / temperature, axis=-1)
    return -float(np.mean([row[label] for row, label in zip(log_p, digits.labels, strict=True)]))


def test_the_script_makes_the_data_that_the_package_holds(tmp_path: Path) -> None:
    make_digits_logits.make(tmp_path / "again.npz")
    with np.load(tmp_path / "again.npz") as again, np.load(DATA) as held:
        assert again.files == held.files
        assert np.array_equal(again["labels"], held["labels"])
        np.testing.assert_allclose(again["logits"], held["logits"], rtol=0, atol=1e-3)


def test_the_data_are_real_small_and_overconfident() -> None:
    digits = demo.load_digits()
    assert digits.logits.dtype == np.float32
    assert digits.logits.shape == (1597, 10)
    assert DATA.stat().st_size < 200_000
    assert 0.90 < np.mean(digits.logits.argmax(axis=-1) == digits.labels) < 0.95
    assert 1.5 < demo.loss_curve(digits).best_temperature < 4.0


def test_the_best_temperature_is_where_scipy_finds_it() -> None:
    digits = demo.load_digits()
    curve = demo.loss_curve(digits)
    found = scipy.optimize.minimize_scalar(lambda t: scipy_loss(digits, t), bounds=(0.5, 8.0), method="bounded")
    assert curve.best_temperature == pytest.approx(found.x, rel=1e-4)
    assert curve.best_loss == pytest.approx(found.fun, rel=1e-6)
    expected = [scipy_loss(digits, temperature) for temperature in curve.temperatures]
    np.testing.assert_allclose(curve.losses, expected, rtol=1e-5)


def test_the_doubtful_image_is_misread_and_its_truth_comes_second() -> None:
    digits = demo.load_digits()
    image = demo.doubtful_image(digits)
    probabilities = scipy.special.softmax(digits.logits[image])
    assert 0.7 < probabilities.max() < 0.8
    assert np.argsort(-probabilities)[1] == digits.labels[image]


def test_contenders_take_turns_and_the_first_round_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, order = [0.0], []

    def contender(name: str, first: float, later: float) -> object:
        def run() -> None:
            clock[0] += later if name in order else first
            order.append(name)

        return run

    monkeypatch.setattr(demo, "ROUNDS", 3)
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    medians = demo.interleaved_medians([contender("a", 100.0, 1.0), contender("b", 100.0, 2.0)])  # type: ignore[list-item]
    assert medians == [1.0, 2.0]
    assert "".join(order) == "abababab"


def test_every_part_is_printed_and_the_figure_saved(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    stdout, stderr = capsys.readouterr()
    assert stderr == ""
    headings = ("handwritten digits", "Temperature:", "Large logits:", "Calibration:", "Speed:", "Figure:")
    places = [stdout.index(heading) for heading in headings]
    assert places == sorted(places)
    for temperature in ("T = 0.5", "T = 1", "T = 2"):
        assert temperature in stdout
    assert re.search(r"1000 999 998 +│ nan nan nan +│ 0.6652 0.2447 0.0900", stdout)
    best = demo.loss_curve(demo.load_digits()).best_temperature
    assert re.search(rf"{best:.2f} +│ 0\.\d+ +│ best", stdout)
    assert re.search(r"softmaxjit, 1 thread +│ +[\d.]+ +│ +[\d.]+ +│", stdout)
    assert stdout.endswith("Figure: softmaxjit-demo.png\n")
    assert Path("softmaxjit-demo.png").read_bytes().startswith(b"\x89PNG")
    assert names() == ["softmaxjit-demo.png"]


def test_the_figure_goes_where_it_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--figure", "my [bold] figure.svg"]) == 0
    assert capsys.readouterr().out.endswith("\nFigure: my [bold] figure.svg\n")
    assert "<svg" in Path("my [bold] figure.svg").read_text()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing/figure.png", "No such file or directory"),
        ("/dev/full", "No space left on device"),
        (".", "Is a directory"),
        ("figure.exe", "Format 'exe' is not supported"),
    ],
)
def test_a_figure_that_cannot_be_written_is_said_in_one_line(
    path: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--figure", path]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"No figure: cannot write {path}: ")
    assert reason in last
    assert names() == []


def test_without_matplotlib_it_says_so_and_ends_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["demo"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "No figure: matplotlib is not installed (pip install 'softmaxjit[plot]')."
    assert names() == []


def test_nothing_is_printed_wider_than_a_terminal_of_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80

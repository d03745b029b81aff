"""``softmaxjit calibrate``: it finds what the library finds, writes what is right, and errors are one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softmaxjit import cross_entropy, softmax
from softmaxjit.__main__ import main
from softmaxjit.calibration import (
    CalibrationReport,
    accuracy,
    brier_score,
    calibration_report,
    expected_calibration_error,
    fit_temperature,
    nll,
    reliability_curve,
    reliability_diagram,
)

RNG = np.random.default_rng(0)
LOGITS = (RNG.standard_normal((501, 4)) * 5).astype(np.float32)
LABELS = (LOGITS / 2.5 + RNG.gumbel(size=LOGITS.shape)).argmax(axis=1)


@pytest.fixture(autouse=True)
def in_a_directory_with_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("logits.npy", LOGITS)
    np.save("labels.npy", LABELS)


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["calibrate", "logits.npy", "labels.npy", "--json", "--resamples", "50", *arguments]) == 0
    stdout, stderr = capsys.readouterr()
    assert stderr == ""
    return json.loads(stdout)


def test_it_fits_one_half_and_reports_on_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "--seed", "3")
    half = np.zeros(501, bool)
    half[np.random.default_rng(3).permutation(501)[:250]] = True
    fit = fit_temperature(LOGITS[half], LABELS[half])
    assert found["temperature"] == pytest.approx(fit.temperature, rel=1e-9)
    assert found["rows"] == {"fitted": 250, "reported": 251}
    assert found["converged"]
    x, y = LOGITS[~half].astype(float), LABELS[~half]
    for part, temperature in (("before", 1), ("after", fit.temperature)):
        for name, metric in (
            ("accuracy", accuracy),
            ("nll", nll),
            ("brier_score", brier_score),
            ("expected_calibration_error", expected_calibration_error),
        ):
            interval = found[part][name]
            assert interval["value"] == pytest.approx(metric(x / temperature, y, from_logits=True), rel=1e-6)
            assert interval["low"] <= interval["high"]
        assert sum(found[part]["curve"]["counts"]) == 251
    assert found["after"]["nll"]["value"] < found["before"]["nll"]["value"]


def test_it_may_fit_and_report_on_all(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "--fit-on-all", "--bins", "7")
    assert found["rows"] == {"fitted": 501, "reported": 501}
    assert found["temperature"] == fit_temperature(LOGITS, LABELS).temperature
    assert len(found["before"]["curve"]["counts"]) == 7


def test_a_table_is_printed_and_files_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["calibrate", "logits.npy", "labels.npy", "-o", "p.npy", "--plot", "diagram.png", "--resamples", "50"]
    assert main(arguments) == 0
    stdout, stderr = capsys.readouterr()
    assert stderr == ""
    assert "Temperature 2." in stdout
    for text in ("On 251 other rows", "calibration error", "Brier score", "95% interval", "Probabilities: p.npy"):
        assert text in stdout
    assert max(map(len, stdout.splitlines())) <= 100
    assert Path("diagram.png").read_bytes().startswith(b"\x89PNG")
    temperature = document(capsys)["temperature"]
    assert np.load("p.npy").tobytes() == softmax(LOGITS, temperature=temperature).tobytes()


def test_data_without_a_best_temperature_are_said_to_be_such(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("labels.npy", LOGITS.argmax(axis=1))
    assert main(["calibrate", "logits.npy", "labels.npy", "--resamples", "5"]) == 0
    assert "These rows have no best temperature: each label is the largest logit." in capsys.readouterr().out
    np.save("labels.npy", LOGITS.argmin(axis=1))
    assert main(["calibrate", "logits.npy", "labels.npy", "--resamples", "5", "-o", "p.npy"]) == 0
    assert "the logits say nothing of the labels." in capsys.readouterr().out
    assert (np.load("p.npy") == 0.25).all()
    assert document(capsys)["temperature"] is None


NAN = LOGITS.copy()
NAN[400, 2] = np.nan
WRONG = [
    (LOGITS, np.where(np.arange(501) == 7, 4, LABELS), "labels holds 4 at 7; accepted are classes from 0 to 3"),
    (LOGITS, LABELS[:5], "labels has shape (5,); accepted for logits of shape (501, 4) are integers of shape (501,)"),
    (LOGITS, LABELS.astype(float), "labels has dtype float64; accepted are integers, the class of each row"),
    (LOGITS, LABELS > 1, "labels has dtype bool; accepted are integers"),
    (LOGITS[0], LABELS, "logits has shape (4,); accepted is (rows, classes)"),
    (LOGITS[:1], LABELS[:1], "logits has shape (1, 4); accepted are 2 rows"),
    (LOGITS[:0], LABELS[:0], "logits has shape (0, 4); accepted are"),
    (NAN, LABELS, "logits holds nan in row 400"),
]


@pytest.mark.parametrize(("logits", "labels", "words"), WRONG)
def test_wrong_files_are_said_to_be_so_in_one_line(
    logits: Any, labels: Any, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("logits.npy", logits)
    np.save("labels.npy", labels)
    for seed in ("0", "1", "2"):
        arguments = ["calibrate", "logits.npy", "labels.npy", "--resamples", "5", "--seed", seed, "-o", "p.npy"]
        assert main(arguments) == 1
        stdout, stderr = capsys.readouterr()
        assert stdout == ""
        assert stderr.startswith(f"softmaxjit: logits.npy with labels.npy: {words}")
        assert stderr.count("\n") == 1
        assert not Path("p.npy").exists()


def test_files_that_cannot_be_read_or_written_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.npy").write_text("no array")
    for arguments, words in (
        (["missing.npy", "labels.npy"], "cannot read missing.npy: No such file"),
        (["logits.npy", "text.npy"], "text.npy is not a .npy file"),
        (["logits.npy", "labels.npy", "-o", "no/p.npy"], "cannot write no/p.npy"),
        (["logits.npy", "labels.npy", "--plot", "d.exe"], "--plot is d.exe; accepted are names that end in"),
    ):
        assert main(["calibrate", *arguments]) in (1, 2)
        stderr = capsys.readouterr().err
        assert stderr.startswith(f"softmaxjit: {words}")
        assert stderr.count("\n") == 1


# ------------------------------------------------------------------------------------------- what it is made of


def test_a_report_is_the_metrics_of_the_rows_that_count(monkeypatch: pytest.MonkeyPatch) -> None:
    where = RNG.random(501) < 0.6
    x = np.where(where[:, np.newaxis], LOGITS, np.nan)
    report = calibration_report(x, LABELS, where=where, rng=0, n_resamples=60, temperature=2.0)
    assert isinstance(report, CalibrationReport)
    assert report.rows == where.sum()
    kept, labels = LOGITS[where] / np.float32(2), LABELS[where]
    assert report.nll.value == nll(kept, labels, from_logits=True)
    assert report.expected_calibration_error.value == expected_calibration_error(kept, labels, from_logits=True)
    for ours, curve in zip(report.curve, reliability_curve(kept, labels, from_logits=True), strict=True):
        np.testing.assert_array_equal(ours, curve)
    monkeypatch.setattr("softmaxjit._args.predictions.BATCH_ELEMENTS", 100)
    again = calibration_report(x, LABELS, where=where, rng=0, n_resamples=60, temperature=2.0)
    for name in ("accuracy", "nll", "brier_score", "expected_calibration_error"):
        assert getattr(again, name).distribution.tobytes() == getattr(report, name).distribution.tobytes()
    with pytest.raises(ValueError, match="logits holds nan in row 499"):
        calibration_report(np.where(np.arange(501)[:, np.newaxis] == 499, np.nan, LOGITS), LABELS)
    with pytest.raises(ValueError, match="is False throughout"):
        calibration_report(LOGITS, LABELS, where=where & False)


def test_the_diagram_shows_the_numbers_of_the_curves() -> None:
    before = reliability_curve(LOGITS, LABELS, from_logits=True)
    after = reliability_curve(LOGITS / 2.5, LABELS, from_logits=True, binning="mass", n_bins=8)
    figure = reliability_diagram(before, after)
    bars, counts = figure.axes[0].patches, figure.axes[2].patches
    held = before.counts > 0
    np.testing.assert_allclose([bar.get_height() for bar in bars[: held.sum()]], before.accuracy[held])
    np.testing.assert_allclose(
        [bar.get_height() for bar in bars[held.sum() :]], (before.confidence - before.accuracy)[held]
    )
    np.testing.assert_allclose([bar.get_x() for bar in bars[: held.sum()]], before.edges[:-1][held])
    assert [bar.get_height() for bar in counts] == before.counts.tolist()
    error = expected_calibration_error(LOGITS, LABELS, from_logits=True)
    assert figure.axes[0].get_title() == f"before: calibration error {error:.2%}"
    assert figure.axes[1].get_title().startswith("after: ")
    assert len(reliability_diagram(before).axes) == 2


def test_a_diagram_of_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    curve = reliability_curve(LOGITS, LABELS, from_logits=True)
    with pytest.raises(TypeError, match="a curve is of type ndarray; accepted is what reliability_curve returns"):
        reliability_diagram(LOGITS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there are 1 curves and 2 titles"):
        reliability_diagram(curve, titles=["a", "b"])
    with pytest.raises(ValueError, match="there are 0 curves"):
        reliability_diagram()
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'softmaxjit\[plot\]'"):
        reliability_diagram(curve)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "labels.npy"], "OUT is labels.npy, which holds the labels"),
        (["-o", "./labels.npy"], "OUT is labels.npy, which holds the labels"),
        (["-o", "both.png", "--plot", "both.png"], "OUT and --plot are both both.png"),
    ],
)
def test_no_file_is_lost_to_another(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert main(["calibrate", "logits.npy", "labels.npy", *arguments]) == 2
    assert words in capsys.readouterr().err
    np.testing.assert_array_equal(np.load("labels.npy"), LABELS)
    assert not Path("both.png").exists()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_no_temperature_makes_logits_overflow(dtype: Any) -> None:
    large = np.finfo(dtype).max / 2
    x = np.array([[-large, large, 0], [large, 0, large], [2, 1, 3], [3, 2, 3], [0, large, -large]], dtype)
    labels = np.array([1, 2, 2, 0, 2])
    report = calibration_report(x, labels, temperature=1e-3, rng=0, n_resamples=2)
    # The last is wrong by as much as float64 can hold, or more.
    assert report.nll.value == pytest.approx(cross_entropy(x.astype(np.float64), labels, temperature=1e-3))
    assert report.accuracy.value == 0.6  # of equal logits the first counts
    assert report.brier_score.value == pytest.approx((0 + 0.5 + 0 + 0.5 + 2) / 5)
    assert report.curve.counts.tolist() == [0] * 7 + [2] + [0] * 6 + [3]


def test_a_report_of_16_bits_loses_nothing_to_the_temperature() -> None:
    x = LOGITS.astype(np.float16)
    report, wide = (calibration_report(y, LABELS, temperature=1.7, rng=0) for y in (x, x.astype(np.float64)))
    assert report.nll.value == pytest.approx(wide.nll.value, rel=1e-7)


def test_a_report_refuses_masks() -> None:
    labels, where = np.ma.array(LABELS, mask=LABELS == 1), np.ma.array(LABELS == 0, mask=LABELS == 1)
    with pytest.raises(TypeError, match="labels is a masked array, whose mask would be lost; leave out the rows"):
        calibration_report(LOGITS, labels)
    with pytest.raises(TypeError, match=r"where is a masked array, whose mask would be lost; pass where\.filled"):
        calibration_report(LOGITS, LABELS, where=where)


@pytest.mark.parametrize("temperature", ["hot", np.ones((501, 1))])
def test_the_temperature_of_a_report_is_one_number(temperature: Any) -> None:
    with pytest.raises(TypeError, match=r"temperature is a \w+; accepted is one number"):
        calibration_report(LOGITS, LABELS, temperature=temperature)

"""The reference has every public name, no warning and no broken link; the README shows what its script draws."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import softmaxjit
from softmaxjit import calibration

from .scripts import ROOT, script

check_links = script("check_links", "docs")
PROSE = [*ROOT.glob("*.md"), *ROOT.glob("softmaxjit/**/*.md"), *ROOT.glob("notebooks/*.ipynb")]


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Make the pages as ``make docs`` does, in a child process, since Sphinx's packages warn about themselves."""
    return subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html", str(source), str(target)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(target / "numba")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("docs")
    child = build(ROOT / "docs", target)
    assert child.returncode == 0, child.stderr
    return target


def test_the_reference_has_every_public_name(pages: Path) -> None:
    names = {f"softmaxjit.{name}" for name in softmaxjit.__all__ if not name.startswith("_")}
    names |= {f"softmaxjit.calibration.{name}" for name in calibration.__all__}
    names |= {f"softmaxjit.special.{name}" for name in ("softmax", "log_softmax", "logsumexp")}
    found = set().union(*(check_links.contents(page)[1] for page in pages.glob("*.html")))
    assert names <= found


def test_no_initial_of_an_author_is_taken_for_the_number_of_a_list(pages: Path) -> None:
    """A line that begins with one letter and a point is a list in Sphinx's markup, unless a second line follows."""
    assert [page.name for page in pages.glob("*.html") if re.search(r'<ol class="\w*alpha', page.read_text())] == []


def test_a_quoted_name_that_is_none_is_a_warning_and_warnings_are_errors(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(ROOT / "docs" / "conf.py", source)
    (source / "index.rst").write_text("Title\n=====\n\nThis is `softmaxx`, where `axis` is a parameter.\n")
    child = build(source, tmp_path / "target")
    assert child.returncode == 1
    assert "reference target not found: softmaxx" in child.stderr
    assert "axis" not in child.stderr


def test_no_link_is_broken(pages: Path) -> None:
    files = [*PROSE, *pages.glob("*.html")]
    assert {"README.md", "CONTRIBUTING.md", "05_overconfidence.ipynb", "calibration.html"} <= {f.name for f in files}
    assert [line for path in files for line in check_links.broken_links(path)] == []


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ("nothing.md", "leads to no file"),
        ("other.md#a-heading", None),
        ("other.md#no-heading", "leads to no such place"),
        ("#title", None),
        ("#titel", "leads to no such place"),
        ("http://example.org/a", "is no https address"),
        ("https://example.org/a", None),
        ("https:///a", "is no https address"),
        ("/", "is a path of one machine"),
    ],
)
def test_a_broken_link_is_found(link: str, complaint: str | None, tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("## A heading\n")
    (tmp_path / "page.md").write_text(f"# Title\n\n[text]({link})\n")
    (tmp_path / "page.html").write_text(f'<h1 id="title"></h1><a href="{link}">')
    for name in ("page.md", "page.html"):
        lines = list(check_links.broken_links((tmp_path / name).resolve()))
        assert len(lines) == (complaint is not None)
        assert all(line.endswith(complaint or "") for line in lines)


def test_the_figures_of_the_readme_are_what_their_script_draws(tmp_path: Path) -> None:
    figures = script("figures", "docs")
    shown = set(re.findall(r"!\[[^]]*\]\(notebooks/images/([^)]+)\)", (ROOT / "README.md").read_text("utf-8")))
    kept = {path.name for path in figures.FOLDER.iterdir()}
    assert shown == kept == set(figures.FIGURES)
    for name, make in figures.FIGURES.items():
        make(tmp_path / name)
        fresh, old = squares(tmp_path / name), squares(figures.FOLDER / name)
        # matplotlib 3.9 and 3.11 differ by 0.12, in letters; another temperature changes a square by 0.38 and more.
        assert np.max(np.abs(fresh - old)) < 0.25, name


def squares(path: Path, side: int = 15) -> np.ndarray:
    """Return the mean brightness in squares of a picture, which letters change little and bars much."""
    picture = plt.imread(path)[..., :3].mean(axis=-1)
    height, width = (length // side for length in picture.shape)
    return picture[: height * side, : width * side].reshape(height, side, width, side).mean(axis=(1, 3))

"""Show that a slowdown is caught, and that nothing is cried out where nothing changed: ``python asv_bench/proof.py``.

In a throwaway clone, ``asv continuous`` compares the commit checked out here with two made on top of it: one in which
the exponential in ``softmaxjit/_simd`` takes longer, and one that changes nothing.  A helper, because Numba's cache
does not notice an edit in another file than the kernel's: with a cache that the commits share the slow one would be
timed with the code of the fast one.  Each comparison is made several times, from no results.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from asv import util

ROOT = Path(__file__).parents[1]
BENCHMARK = r"^activations\.Softmax\.time_into\(.1024x1000., .float32.\)"
ROUNDS = 4  # processes that time a commit, in turn with those of the other
FACTOR = 1.2  # what counts as changed, as in the Makefile
TIME_LIMIT = 1800  # seconds for a comparison; the first compiles

# Fused multiply-adds of zero that a compiler may not remove, since what is multiplied might be NaN.
HELPER = Path("softmaxjit/_simd/exp_scaled.py")
LINE = "        y = fma(x, steps.lost, residue(x, steps.per_unit, -n))\n"
EXTRA = 16  # about 1.5 times the time of the whole softmax; 1.2 to 1.9 with ten processes for two cores
SLOWER = LINE + "        zero = y - y\n" + "        y = fma(zero, y, y)\n" * EXTRA


class Verdict(NamedTuple):
    """What `asv continuous` said of a commit."""

    reported: bool
    table: str


def run(*command: str, directory: Path, home: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command that knows no other home, so that asv leaves the user's description of the machine alone."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NUMBA_CACHE_DIR")}
    identity = {f"GIT_{who}_{what}": "proof" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return subprocess.run(  # noqa: S603
        command,
        cwd=directory,
        env=environment | identity | {"HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


def checked(*command: str, directory: Path, home: Path) -> str:
    """Return what a command printed, or raise RuntimeError."""
    done = run(*command, directory=directory, home=home)
    if done.returncode != 0:
        raise RuntimeError(f"{command} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


class Clone:
    """A clone of this repository, with an environment for one benchmark on one thread."""

    def __init__(self, directory: Path) -> None:
        self.home, self.path = directory / "home", directory / "softmaxjit"
        self.home.mkdir()
        checked("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(self.path), directory=ROOT, home=self.home)
        self.git("checkout", "--quiet", "--detach", self.git_of_root("rev-parse", "HEAD"))
        self.base = self.git("rev-parse", "HEAD")
        configuration = util.load_json(str(ROOT / "asv_bench" / "asv.conf.json"), js_comments=True)
        required = configuration["matrix"]["req"]
        configuration["matrix"] = {
            "req": {name: required[name] for name in ("numba", "llvmlite", "numpy")},
            "env_nobuild": {"NUMBA_NUM_THREADS": ["1"]},
        }
        util.write_json(str(self.path / "asv_bench" / "proof.conf.json"), configuration)
        self.asv("machine", "--yes", "--machine", "proof")

    def git_of_root(self, *arguments: str) -> str:
        return checked("git", *arguments, directory=ROOT, home=self.home).strip()

    def git(self, *arguments: str) -> str:
        return checked("git", *arguments, directory=self.path, home=self.home).strip()

    def asv(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = (sys.executable, "-m", "asv", *arguments, "--config", "proof.conf.json")
        return run(*command, directory=self.path / "asv_bench", home=self.home)

    def commit(self, edit: Callable[[Path], None]) -> str:
        """Commit an edit on top of the base and return its hash."""
        self.git("checkout", "--quiet", "--detach", self.base)
        edit(self.path)
        self.git("commit", "--quiet", "--all", "--allow-empty", "--message", edit.__name__)
        return self.git("rev-parse", "HEAD")

    def verdict(self, commit: str) -> Verdict:
        """Compare a commit with the base, forgetting all earlier results."""
        shutil.rmtree(self.path / "asv_bench" / ".asv" / "results", ignore_errors=True)
        done = self.asv(
            *("continuous", "--machine", "proof", "--interleave-rounds", "--attribute", f"rounds={ROUNDS}"),
            *("--factor", str(FACTOR), "--bench", BENCHMARK, self.base, commit),
        )
        said = done.stdout.partition("%] ")[0] + done.stdout.rpartition("%] ")[2]
        if "SIGNIFICANTLY" not in done.stdout:
            raise RuntimeError(f"asv continuous came to no end:\n{done.stdout}{done.stderr}")
        lines = [line for line in said.splitlines() if line.startswith("|")]
        return Verdict("PERFORMANCE DECREASED" in done.stdout, lines[-1] if lines else "")


def slower(checkout: Path) -> None:
    """Make the exponential of the float32 kernels take longer, with the same results."""
    source = (checkout / HELPER).read_text("utf-8")
    if source.count(LINE) != 1:
        raise RuntimeError(f"{HELPER} no longer has the line that is made slower: {LINE.strip()}")
    (checkout / HELPER).write_text(source.replace(LINE, SLOWER), "utf-8")


def unchanged(checkout: Path) -> None:
    """Change nothing."""


def main() -> int:
    """Print every verdict; return 0 if all were right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=5, help="of each comparison")
    tries = parser.parse_args().tries
    right = 0
    with tempfile.TemporaryDirectory(prefix="softmaxjit-proof-") as directory:
        clone = Clone(Path(directory))
        commits = {edit.__name__: clone.commit(edit) for edit in (slower, unchanged)}
        for k in range(tries):
            for name, commit in commits.items():
                verdict = clone.verdict(commit)
                is_right = verdict.reported == (name == "slower")
                right += is_right
                said = f"reported {verdict.table}" if verdict.reported else "not reported"
                print(f"try {k + 1}, {name}: {said}{'' if is_right else '   WRONG'}", flush=True)
    print(f"{right} of {2 * tries} right")
    return 0 if right == 2 * tries else 1


if __name__ == "__main__":
    sys.exit(main())

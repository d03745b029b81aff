"""``softmaxjit apply`` gives what the library gives, in bounded memory, and never leaves anything half done."""

import errno
import fcntl
import io
import os
import pty
import signal
import stat
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softmaxjit
from softmaxjit.__main__ import main
from softmaxjit._commands import blocks

from .children import TIME_LIMIT
from .exact import assert_same_bits

# Bytes in a block and in a page.  Small ones send small arrays down the paths that files above memory take.
SIZES = {"whole": (64 << 20, 4096), "blocks": (256, 32), "narrow blocks": (512, 8), "scratch": (64, 8)}


@pytest.fixture(params=SIZES)
def block_sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    set_sizes(monkeypatch, request.param)


def set_sizes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    block, page = SIZES[name]
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
    monkeypatch.setattr(blocks, "PAGE_BYTES", page)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sample(shape: tuple[int, ...], dtype: str, order: Any = "C") -> "np.ndarray[Any, Any]":
    return np.asarray(np.random.default_rng(0).normal(size=shape) * 5).astype(dtype, order=order)


def applied(folder: Path, x: "np.ndarray[Any, Any]", *options: str) -> "np.ndarray[Any, Any]":
    """Return what the command makes of an array, having checked that it leaves nothing else behind."""
    np.save(folder / "in.npy", x)
    assert main(["apply", str(folder / "in.npy"), "-o", str(folder / "out.npy"), *options]) == 0
    assert names(folder) == ["in.npy", "out.npy"]
    result: np.ndarray[Any, Any] = np.load(folder / "out.npy")
    return result


def check(folder: Path, x: "np.ndarray[Any, Any]", operation: str, axis: int | None, temperature: float = 1.0) -> None:
    """Hold the command against the library, bit for bit."""
    options = {} if operation == "logsumexp" else {"temperature": temperature}
    with np.errstate(over="ignore"):
        expected = np.asarray(getattr(softmaxjit, operation)(x, axis=axis, **options))
    axis_option = ["--axis", "none" if axis is None else str(axis)]
    result = applied(folder, x, "--op", operation, "--temperature", str(temperature), *axis_option)
    assert_same_bits(result, expected)


OPERATIONS = ["softmax", "log_softmax", "logsumexp"]


@pytest.mark.usefixtures("block_sizes")
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<f2", ">f4", ">f8", ">f2", "<i4", ">i8", "u1", "?"])
def test_every_dtype_gives_the_bits_of_the_library(tmp_path: Path, dtype: str, operation: str) -> None:
    for axis in (0, 1, None):
        check(tmp_path, sample((5, 19), dtype), operation, axis, 1.0 if operation == "logsumexp" else 0.7)


@pytest.mark.usefixtures("block_sizes")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_longdouble_gives_the_values_of_the_library(tmp_path: Path, operation: str) -> None:
    x = np.asarray(np.random.default_rng(0).normal(size=(5, 19)), np.longdouble) / 3
    for axis in (0, 1, None):  # not bit for bit: some of the bytes of a longdouble mean nothing
        result = applied(tmp_path, x, "--op", operation, "--axis", "none" if axis is None else str(axis))
        assert result.dtype == np.longdouble
        assert np.array_equal(result, getattr(softmaxjit, operation)(x, axis=axis))


@pytest.mark.usefixtures("block_sizes")
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (1,), (40,), (4, 7, 3), (30, 2), (2, 30), (3, 1, 4, 5)])
def test_every_axis_of_both_memory_orders_gives_the_bits_of_the_library(
    tmp_path: Path, shape: tuple[int, ...], order: str, operation: str
) -> None:
    for axis in (*range(len(shape)), None):
        check(tmp_path, sample(shape, "<f4", order), operation, axis)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)])
def test_empty_arrays_give_what_the_library_gives(tmp_path: Path, shape: tuple[int, ...], operation: str) -> None:
    for axis in (0, -1, None):
        check(tmp_path, sample(shape, "<f8"), operation, axis)


@pytest.mark.usefixtures("block_sizes")
@pytest.mark.parametrize("temperature", [0.0, 1e-30, 3.0, float("inf")])
def test_temperatures_and_special_values_give_the_bits_of_the_library(tmp_path: Path, temperature: float) -> None:
    x = sample((6, 17), "<f4")
    x[1] = -np.inf
    x[2, 3] = np.nan
    x[3, 4] = np.inf
    x[4, :9] = -np.inf
    for operation in ("softmax", "log_softmax"):
        check(tmp_path, x, operation, -1, temperature)
        check(tmp_path, x, operation, 0, temperature)


@pytest.mark.usefixtures("block_sizes")
def test_float16_results_out_of_range_are_infinite_without_a_warning(tmp_path: Path) -> None:
    check(tmp_path, np.array([[0.0, 60000.0] * 20], "<f2"), "log_softmax", -1, 0.5)


@pytest.mark.usefixtures("block_sizes")
def test_elements_need_not_be_aligned_in_the_file(tmp_path: Path) -> None:
    x = sample((3, 20), "<f4")
    header = repr({"descr": "<f4", "fortran_order": False, "shape": x.shape}).encode() + b"\n"
    assert (10 + len(header)) % 4 != 0
    (tmp_path / "in.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + x.tobytes())
    assert main(["apply", str(tmp_path / "in.npy"), "-o", str(tmp_path / "out.npy")]) == 0
    assert np.load(tmp_path / "out.npy").tobytes() == softmaxjit.softmax(x).tobytes()


def test_only_what_needs_it_goes_through_a_scratch_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    original = blocks.scratch

    def counted(directory: Path, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> Any:
        shapes.append(shape)
        return original(directory, shape, dtype)

    monkeypatch.setattr(blocks, "scratch", counted)
    set_sizes(monkeypatch, "scratch")  # 16 elements in a block
    applied(tmp_path, sample((4, 100), "<f4"))  # rows longer than a block, but contiguous
    applied(tmp_path, sample((8, 100), "<f4"), "--axis", "0")  # each block holds whole columns
    assert shapes == []
    applied(tmp_path, sample((2, 50, 4), "<f4"), "--axis", "1")  # columns longer than a block
    applied(tmp_path, sample((4, 100), "<f2"))  # the kernels need another dtype
    assert shapes == [(4, 50)] * 2 + [(100,)] * 4


def test_out_may_be_in(tmp_path: Path) -> None:
    x = sample((50, 20), "<f4")
    np.save(tmp_path / "x.npy", x)
    assert main(["apply", str(tmp_path / "x.npy"), "-o", str(tmp_path / "x.npy"), "--op", "logsumexp"]) == 0
    assert np.array_equal(np.load(tmp_path / "x.npy"), softmaxjit.logsumexp(x))
    assert names(tmp_path) == ["x.npy"]


def test_names_may_hold_blanks_brackets_and_no_suffix(tmp_path: Path) -> None:
    (tmp_path / "é [").mkdir()  # with the name of the file in it, a closing tag of rich's markup
    source, target = tmp_path / "my [bold] logits", tmp_path / "é [" / "] out"
    with source.open("wb") as file:
        np.save(file, sample((3, 4), "<f4"))
    assert main(["apply", str(source), "-o", str(target)]) == 0
    assert np.load(target).shape == (3, 4)


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_as_out_stays_a_link(tmp_path: Path, exists: bool) -> None:
    np.save(tmp_path / "in.npy", sample((3, 4), "<f4"))
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "real.npy", tmp_path / "link.npy"
    if exists:
        real.write_bytes(b"old")
    link.symlink_to(real)
    assert main(["apply", str(tmp_path / "in.npy"), "-o", str(link)]) == 0
    assert link.is_symlink()
    assert np.load(real).shape == (3, 4)
    assert names(tmp_path / "elsewhere") == ["real.npy"]


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", sample((3, 4), "<f4"))
    (tmp_path / "x.npy").chmod(0o600)
    assert main(["apply", str(tmp_path / "x.npy"), "-o", str(tmp_path / "x.npy")]) == 0
    assert stat.S_IMODE((tmp_path / "x.npy").stat().st_mode) == 0o600


def good(path: Path) -> None:
    np.save(path, sample((3, 4), "<f4"))


def without_file(path: Path) -> None:
    assert not path.exists()


def cut_short(path: Path) -> None:
    good(path)
    path.write_bytes(path.read_bytes()[:-1])


def header_alone(shape: str, descr: str = "'<f4'") -> Callable[[Path], None]:
    def write(path: Path) -> None:
        header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)

    return write


def saved(x: Any) -> Callable[[Path], None]:
    return lambda path: np.save(path, np.asarray(x))


def holding(content: bytes) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(content), None)[1]


@pytest.mark.parametrize(
    ("make", "options", "status", "message"),
    [
        (without_file, [], 1, "cannot read IN.npy: No such file or directory"),
        (Path.mkdir, [], 1, "IN.npy is not a regular file"),
        (os.mkfifo, [], 1, "IN.npy is not a regular file"),
        (holding(b""), [], 1, "IN.npy is not a .npy file that can be read"),
        (holding(b"PK\x03\x04 and so on"), [], 1, "IN.npy is not a .npy file that can be read"),
        (holding(b"\x93NUMPY\x01\x00\xff"), [], 1, "IN.npy is not a .npy file that can be read"),
        (holding(b"\x93NUMPY\x03\x00\x01\x00\x00\x00\n"), [], 1, "format version (3, 0); accepted are 1.0 and 2.0"),
        (holding(b"\x93NUMPY\x01\x00\x04\x00({[\n"), [], 1, "IN.npy is not a .npy file that can be read"),
        (
            holding(b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b" " * 99),
            [],
            1,
            "IN.npy is not a .npy file that can be read",
        ),
        (header_alone("(3,)" + " " * 20000), [], 1, "IN.npy is not a .npy file that can be read"),
        (cut_short, [], 1, "IN.npy is cut short: shape (3, 4) and dtype float32 make 48 bytes, and 47 are there"),
        (header_alone("(1" + "0" * 30 + ",)"), [], 1, "IN.npy is cut short"),
        (header_alone("(-3, 4)"), [], 1, "its shape is (-3, 4)"),
        (header_alone("(True, 4)"), [], 1, "its shape is (True, 4)"),
        (header_alone("(0, 1" + "0" * 30 + ")"), [], 1, "cannot be an array"),
        (header_alone("(0," + "1," * 99 + ")"), [], 1, "cannot be an array"),
        (
            saved(np.array([{}, []], object)),
            [],
            1,
            "IN.npy has dtype object; accepted are float16, float32, float64, longdouble, ",
        ),
        (saved(["a", "b"]), [], 1, "IN.npy has dtype <U1; accepted are"),
        (saved([1j]), [], 1, "IN.npy has dtype complex128; accepted are"),
        (header_alone("(3,)", "'<V2'"), [], 1, "IN.npy has dtype |V2; accepted are"),  # how bfloat16 is saved
        (saved(np.zeros(3, "f4,i4")), [], 1, "accepted are"),
        (good, ["--axis", "2"], 2, "--axis is 2; IN.npy has shape (3, 4), so accepted are -2 to 1 and none"),
        (good, ["--axis", "-3"], 2, "--axis is -3"),
        (good, ["--axis", "9" * 40], 2, "--axis is 999"),
        (saved(1.0), [], 2, "--axis is -1; IN.npy has shape (), so accepted are none alone"),
        (good, ["--axis", "last"], 2, "'last' is neither an integer nor none"),
        (good, ["--temperature", "-1"], 2, "--temperature is -1.0; accepted are real numbers from 0 to infinity"),
        (good, ["--temperature", "nan"], 2, "--temperature is nan"),
        (good, ["--temperature", "warm"], 2, "'warm' is not a valid float"),
        (good, ["--op", "logsumexp", "--temperature", "2"], 2, "--temperature is 2.0; logsumexp has none"),
        (good, ["--op", "hardmax"], 2, "'hardmax' is not one of"),
        (good, ["-o", "/dev/null"], 2, "OUT /dev/null is not a regular file"),
        (good, ["-o", "/dev/full"], 2, "OUT /dev/full is not a regular file"),
        (good, ["-o", "."], 2, "OUT . is not a regular file"),
        (good, ["-o", "missing/out.npy"], 1, "cannot write missing/out.npy: No such file or directory"),
        (good, ["-o", "IN.npy/out.npy"], 1, "cannot write IN.npy/out.npy: Not a directory"),
        (good, ["-o", "o" * 300], 1, "File name too long"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[Path], None],
    options: list[str],
    status: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("IN.npy"))
    before = names(tmp_path)
    assert main(["apply", "IN.npy", "-o", "OUT.npy", *options]) == status
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.startswith("softmaxjit: ")
    assert stderr.count("\n") == 1
    assert message in stderr
    assert names(tmp_path) == before


def run_child(
    script: str, cache: Path, folder: Path, *arguments: str, wrapper: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run a script in a process of its own, which prints nothing but what the test is about."""
    return subprocess.run(
        [sys.executable, "-c", wrapper + script, *arguments],
        cwd=folder,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "NUMBA_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


RUN_MAIN = """
import sys
from softmaxjit.__main__ import main
sys.exit(main(sys.argv[1:]))
"""

# No file may grow beyond 100 kB, which is how a disk looks on which so much is left.
SMALL_DISK = """
import os, resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
"""
NOTHING_RESERVES = """
del os.posix_fallocate
"""


def prepare(folder: Path, x: "np.ndarray[Any, Any]") -> None:
    (folder / "files").mkdir()
    np.save(folder / "files" / "in.npy", x)
    (folder / "files" / "out.npy").write_bytes(b"old")


def assert_nothing_changed(folder: Path) -> None:
    assert (folder / "files" / "out.npy").read_bytes() == b"old"
    assert names(folder / "files") == ["in.npy", "out.npy"]


@pytest.mark.parametrize("wrapper", [SMALL_DISK, SMALL_DISK + NOTHING_RESERVES])
def test_a_disk_too_small_is_said_in_one_line_and_the_old_file_stays(
    warm_cache: Path, tmp_path: Path, wrapper: str
) -> None:
    prepare(tmp_path, np.zeros((1000, 100), np.float32))
    arguments = ["apply", "files/in.npy", "-o", "files/out.npy"]
    child = run_child(RUN_MAIN, warm_cache, tmp_path, *arguments, wrapper=wrapper)
    assert child.stderr == "softmaxjit: cannot write files/out.npy: File too large\n"
    assert child.returncode == 1
    assert_nothing_changed(tmp_path)


@pytest.mark.parametrize("file_that_fails", [1, 2])
def test_a_full_disk_is_said_in_one_line_for_out_and_for_the_scratch_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file_that_fails: int
) -> None:
    reserve, calls = os.posix_fallocate, []

    def reserve_or_fail(descriptor: int, start: int, size: int) -> None:
        calls.append(size)
        if len(calls) == file_that_fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        reserve(descriptor, start, size)

    set_sizes(monkeypatch, "scratch")
    monkeypatch.setattr(os, "posix_fallocate", reserve_or_fail)
    prepare(tmp_path, sample((100, 3), "<f4"))
    files = tmp_path / "files"
    assert main(["apply", str(files / "in.npy"), "-o", str(files / "out.npy"), "--axis", "0"]) == 1
    written = f"{files / 'out.npy'}" if file_that_fails == 1 else f"a temporary file in {files}"
    assert capsys.readouterr().err == f"softmaxjit: cannot write {written}: No space left on device\n"
    assert_nothing_changed(tmp_path)


def test_file_systems_that_cannot_reserve_space_are_written_to_in_advance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    set_sizes(monkeypatch, "scratch")
    check(tmp_path, sample((5000, 3), "<f4"), "softmax", 0)


# Root may read and write everywhere, unless it gives up these capabilities (CAP_DAC_OVERRIDE and
# CAP_DAC_READ_SEARCH), for which it starts anew.
WITHOUT_OVERRIDE = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", "softmaxjit", *sys.argv[1:]])
"""


def test_a_directory_without_write_permission_is_said_in_one_line(warm_cache: Path, tmp_path: Path) -> None:
    prepare(tmp_path, sample((3, 4), "<f4"))
    (tmp_path / "files").chmod(0o555)
    child = run_child(WITHOUT_OVERRIDE, warm_cache, tmp_path, "apply", "files/in.npy", "-o", "files/out.npy")
    (tmp_path / "files").chmod(0o755)
    assert child.stderr == "softmaxjit: cannot write files/out.npy: Permission denied\n"
    assert child.returncode == 1
    assert_nothing_changed(tmp_path)


def test_a_file_without_read_permission_is_said_in_one_line(warm_cache: Path, tmp_path: Path) -> None:
    prepare(tmp_path, sample((3, 4), "<f4"))
    (tmp_path / "files" / "in.npy").chmod(0o200)
    child = run_child(WITHOUT_OVERRIDE, warm_cache, tmp_path, "apply", "files/in.npy", "-o", "files/out.npy")
    assert child.stderr == "softmaxjit: cannot read files/in.npy: Permission denied\n"
    assert child.returncode == 1
    assert_nothing_changed(tmp_path)


# Asks for the end in the middle of the work; what is on the disk at that time goes to the standard output stream.
STOP_AT_THE_SECOND_BLOCK = """
import os, signal, sys
from softmaxjit.__main__ import main
from softmaxjit._commands import apply, blocks

blocks.BLOCK_BYTES = 64
calls = []

def operation(x, axis, out, temperature):
    calls.append(x.shape)
    if len(calls) == 2:
        print(sum(name.endswith(".tmp") for name in os.listdir("files")))
        signal.raise_signal(int(sys.argv[1]))

apply.OPERATIONS["softmax"] = operation
status = main(["apply", "files/in.npy", "-o", "files/out.npy"])
print(len(calls))
sys.exit(status)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_run_leaves_the_old_file_and_no_other(
    warm_cache: Path, tmp_path: Path, number: signal.Signals
) -> None:
    prepare(tmp_path, sample((100, 8), "<f4"))
    child = run_child(STOP_AT_THE_SECOND_BLOCK, warm_cache, tmp_path, str(int(number)))
    assert child.stderr == f"softmaxjit: stopped by {number.name}; OUT is as it was\n"
    assert child.stdout == "1\n2\n"  # there was a temporary file, and no block came after the signal
    assert child.returncode == 128 + number
    assert_nothing_changed(tmp_path)


def test_a_hangup_is_ignored_where_the_caller_ignores_it(warm_cache: Path, tmp_path: Path) -> None:
    prepare(tmp_path, sample((100, 8), "<f4"))
    nohup = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    child = run_child(STOP_AT_THE_SECOND_BLOCK, warm_cache, tmp_path, str(int(signal.SIGHUP)), wrapper=nohup)
    assert child.stderr == ""
    assert child.stdout == "1\n50\n"
    assert child.returncode == 0


def test_signal_handlers_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    applied(tmp_path, sample((3, 4), "<f4"))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


# After a small file has warmed everything up, the process may take no more than so many bytes: RLIMIT_DATA counts
# anonymous memory and no maps of files.  The peak of resident memory, maps included, is printed.
BOUNDED = """
import resource, sys
from softmaxjit.__main__ import main
from softmaxjit._commands import blocks

def status(name):
    with open("/proc/self/status") as file:
        return 1024 * int(next(line for line in file if line.startswith(name)).split()[1])

blocks.BLOCK_BYTES = 1 << 20
bound, options = int(sys.argv[1]), sys.argv[2:]
assert main(["apply", "small.npy", "-o", "out.npy", *options]) == 0
resource.setrlimit(resource.RLIMIT_DATA, (status("VmData") + bound, -1))
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = status("VmRSS")
exit_status = main(["apply", "large.npy", "-o", "out.npy", *options])
print(status("VmHWM") - before)
sys.exit(exit_status)
"""

BOUND = 24 << 20  # a few blocks and their conversions, and what the C library keeps
LARGE = 96 << 20
# Pages of mapped files count as resident and are the system's to reclaim.  Linux maps 16 pages around each that is
# touched, so a tile of 512 by 512 elements may have 32 MiB.
TILE = 512 * 16 * 4096


@pytest.mark.parametrize(
    ("small", "large", "dtype", "options", "mapped"),
    [
        ((2000, 1000), (LARGE // 4000, 1000), "<f4", [], 0),
        ((2000, 1000), (LARGE // 4000, 1000), "<f4", ["--axis", "0"], TILE),
        ((300_000, 4), (LARGE // 16, 4), "<f4", ["--axis", "0"], LARGE // 4),  # one row in the scratch file
        ((300_000, 4), (LARGE // 8, 4), "<f2", ["--axis", "0", "--op", "logsumexp"], LARGE // 2),
        ((300_000,), (LARGE // 2,), "<f2", ["--op", "log_softmax"], 2 * LARGE),
        ((300_000,), (LARGE // 8,), ">i8", [], LARGE),
    ],
)
def test_memory_does_not_grow_with_the_file(
    warm_cache: Path,
    tmp_path: Path,
    small: tuple[int, ...],
    large: tuple[int, ...],
    dtype: str,
    options: list[str],
    mapped: int,
) -> None:
    np.save(tmp_path / "small.npy", np.ones(small, dtype))
    np.save(tmp_path / "large.npy", np.ones(large, dtype))
    child = run_child(BOUNDED, warm_cache, tmp_path, str(BOUND), *options)
    assert child.stderr == ""
    assert child.returncode == 0
    assert int(child.stdout) < BOUND + mapped


def test_a_contiguous_row_of_any_length_takes_no_memory_of_its_own(warm_cache: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", np.ones(300_000, "<f4"))
    np.save(tmp_path / "large.npy", np.ones(LARGE // 4, "<f4"))
    child = run_child(BOUNDED, warm_cache, tmp_path, str(8 << 20))
    assert child.stderr == ""
    assert child.returncode == 0


def test_too_little_memory_is_said_in_one_line(warm_cache: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", np.ones((100, 1000), "<f4"))
    np.save(tmp_path / "large.npy", np.ones((LARGE // 4000, 1000), "<f4"))
    whole = BOUNDED.replace("blocks.BLOCK_BYTES = 1 << 20", "blocks.BLOCK_BYTES = 1 << 40")
    child = run_child(whole, warm_cache, tmp_path, str(8 << 20), "--axis", "0")
    assert child.stderr == "softmaxjit: not enough memory\n"
    assert child.returncode == 1
    assert names(tmp_path) == ["large.npy", "out.npy", "small.npy"]


def test_a_terminal_sees_a_progress_bar(warm_cache: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", sample((300, 40), "<f4"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    command = [sys.executable, "-m", "softmaxjit", "apply", "in.npy", "-o", "out.npy"]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(warm_cache), "TERM": "xterm"}
    with ThreadPoolExecutor(1) as pool, os.fdopen(ours, "rb", buffering=0) as terminal:
        shown = pool.submit(all_that_is_shown, terminal)  # a terminal that nobody reads stops who writes to it
        try:
            subprocess.run(command, cwd=tmp_path, env=environment, stderr=theirs, timeout=TIME_LIMIT, check=True)
        finally:
            os.close(theirs)
        text = shown.result(TIME_LIMIT)
    assert "in.npy" in text
    assert "48.0/48.0 kB" in text


def all_that_is_shown(terminal: io.FileIO) -> str:
    pieces = []
    with suppress(OSError):  # which is how a terminal ends
        while piece := terminal.read(4096):
            pieces.append(piece)
    return b"".join(pieces).decode()


def test_a_closed_standard_error_stream_stops_nothing(warm_cache: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", sample((3, 4), "<f4"))
    shell = f"'{sys.executable}' -m softmaxjit apply in.npy -o out.npy 2>&-"
    script = f"import subprocess, sys; sys.exit(subprocess.call({shell!r}, shell=True))"
    assert run_child(script, warm_cache, tmp_path).returncode == 0
    assert np.load(tmp_path / "out.npy").tobytes() == softmaxjit.softmax(sample((3, 4), "<f4")).tobytes()


def test_no_progress_bar_goes_into_a_pipe(warm_cache: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", sample((300, 40), "<f4"))
    child = run_child(RUN_MAIN, warm_cache, tmp_path, "apply", "in.npy", "-o", "out.npy")
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")

"""The plan at each of its boundaries."""

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from softmaxjit._direct import LONGEST_SHORT
from softmaxjit._kernels.others import OTHERS_BLOCK_ELEMENTS
from softmaxjit._kernels.temperature import LARGEST_TEMPERATURE, SMALLEST_TEMPERATURE
from softmaxjit._plan import (
    ACROSS,
    FEWEST_ROWS,
    GROUPED,
    GROUPED_ROW,
    KERNELS,
    LINES,
    LONG,
    LONG_ROW,
    LONGEST_ACROSS,
    PARALLEL_ELEMENTS,
    PLAIN,
    POOL_ELEMENTS,
    POOL_PART,
    SHARED,
    SHARED_LINES,
    SHARED_ROW,
    SHORT,
    SHORT_ROW,
    SLABS,
    Facts,
    Plan,
    kernels_of_rows,
    plan,
)

FLOAT32 = np.dtype(np.float32)
HALVES = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))


BEYOND = [
    {"lowest_temperature": np.nextafter(SMALLEST_TEMPERATURE, 0)},
    {"highest_temperature": np.nextafter(LARGEST_TEMPERATURE, np.inf)},
    {"lowest_temperature": 0.0, "highest_temperature": 0.0},
    {"lowest_temperature": np.inf, "highest_temperature": np.inf},
]


# Of rows in tiles, in groups, and one by one.
REPRESENTATIVE = {
    (True, False): {"rows": FEWEST_ROWS, "n": 1},
    (False, True): {"rows": FEWEST_ROWS, "n": LONGEST_SHORT + 1},
    (False, False): {"rows": 1, "n": 1},
}


def planned(**changes: Any) -> Plan:
    return plan(Facts("softmax", FLOAT32, 1000, 1000)._replace(**changes))


def name_of(chosen: Plan) -> str:
    assert chosen.kernel is not None
    return chosen.kernel.body.__name__


@pytest.mark.parametrize("operation", KERNELS)
def test_each_operation_has_its_kernel(operation: str) -> None:
    chosen = planned(operation=operation)
    assert chosen.kernel is chosen.serial is KERNELS[operation]
    assert chosen.kernel.body.__name__ == f"{operation}_rows"


def test_weights_have_their_kernel() -> None:
    chosen = planned(operation="logsumexp", weighted=True)
    assert name_of(chosen) == "weighted_logsumexp_rows"


@pytest.mark.parametrize(
    ("operation", "dtype", "short", "grouped"),
    [
        ("softmax", np.float16, 30, 160),
        ("softmax", np.float32, 30, 160),
        ("softmax", np.float64, 23, 128),
        ("log_softmax", np.float16, 31, 256),
        ("log_softmax", np.float32, 31, 256),
        ("log_softmax", np.float64, 14, 256),
        ("logsumexp", np.float16, 40, 384),
        ("logsumexp", np.float32, 40, 384),
        ("logsumexp", np.float64, 20, 384),
        ("cross_entropy", np.float16, 31, 384),
        ("cross_entropy", np.float32, 31, 384),
        ("cross_entropy", np.float64, 20, 384),
        ("cross_entropy_and_grad", np.float32, 30, 256),
        ("cross_entropy_and_grad", np.float64, 23, 160),
    ],
)
def test_short_rows_are_turned_into_lanes_and_longer_ones_go_in_groups(
    operation: str, dtype: Any, short: int, grouped: int
) -> None:
    facts = {"operation": operation, "dtype": np.dtype(dtype), "rows": FEWEST_ROWS}
    for n, kind in (
        (short, "short_rows"),
        (short + 1, "grouped_rows"),
        (grouped, "grouped_rows"),
        (grouped + 1, "rows"),
    ):
        assert name_of(planned(**facts, n=n)) == f"{operation}_{kind}"
        assert name_of(planned(**facts, n=n, highest_temperature=np.inf)) == f"{operation}_{kind}"
        assert name_of(planned(**{**facts, "rows": FEWEST_ROWS - 1}, n=n)) == f"{operation}_rows"


@pytest.mark.parametrize("dtype", [np.float16, np.float32], ids=str)
def test_short_rows_that_fill_their_vectors_go_in_groups(dtype: Any) -> None:
    facts = {"operation": "logsumexp", "dtype": np.dtype(dtype), "rows": FEWEST_ROWS}
    for n, kind in ((16, "short_rows"), (31, "short_rows"), (32, "grouped_rows"), (33, "short_rows")):
        assert name_of(planned(**facts, n=n)) == f"logsumexp_{kind}"


def test_rows_of_16_bits_in_groups_are_widened_for_temperatures_that_are_prepared() -> None:
    """In place of the logits, which 16 bits would round; tiles hold them wider."""
    facts = {"dtype": np.dtype(np.float16), "rows": FEWEST_ROWS, "highest_temperature": np.inf}
    assert not planned(**facts, n=30).widen
    assert planned(**facts, n=31).widen


def test_groups_fill_a_vector_and_fit_a_block_of_sums() -> None:
    """On which their kernels rely."""
    for operation, by_size in GROUPED_ROW.items():
        for size, longest in by_size.items():
            assert SHORT_ROW[operation][size] + 1 >= 64 // size
            assert longest <= OTHERS_BLOCK_ELEMENTS


def test_rows_with_weights_are_taken_one_by_one() -> None:
    weighted = {"operation": "logsumexp", "weighted": True, "n": 4}
    assert name_of(planned(**weighted)) == "weighted_logsumexp_rows"
    assert planned(**weighted, inner=2) == planned(**weighted)._replace(reorder=True)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("operation", ACROSS)
def test_rows_that_lie_across_memory_are_taken_so_up_to_a_length(operation: str, dtype: Any) -> None:
    across = {"operation": operation, "dtype": np.dtype(dtype), "inner": 2, "n": LONGEST_ACROSS}
    chosen = planned(**across)
    assert name_of(chosen) == f"{operation}_across"
    assert not chosen.reorder
    for changes in ({"n": LONGEST_ACROSS + 1}, {"operation": "softmax_vjp"}):
        others = {**across, **changes}
        assert planned(**others) == planned(**{**others, "inner": 1})._replace(reorder=True)


@pytest.mark.parametrize(
    ("dtype", "lanes"), [*((dtype, 16) for dtype in HALVES), (np.float32, 16), (np.float64, 8)], ids=str
)
@pytest.mark.parametrize("operation", SLABS)
def test_rows_with_few_neighbours_go_in_slabs(operation: str, dtype: Any, lanes: int) -> None:
    most = {"logsumexp": {16: 7, 8: 3}}.get(operation, {16: 15, 8: 7})[lanes]
    alone = {"operation": operation, "dtype": np.dtype(dtype), "threads": 1}

    def name_with(slabs: int, inner: int = most, n: int = 2, **changes: Any) -> str:
        return name_of(planned(**alone, rows=slabs * inner, n=n, inner=inner, **changes))

    for slabs in (lanes * 7 // 8, lanes, lanes * 14 // 8, 7 * lanes - 6, 70 * lanes + 1):
        assert name_with(slabs) == name_with(slabs, 2) == f"{operation}_slabs"
    for slabs in (1, lanes * 7 // 8 - 1, lanes + 1, lanes * 14 // 8 - 1):
        assert name_with(slabs) == f"{operation}_across"
    assert name_with(lanes, most + 1) == f"{operation}_across"
    assert name_with(lanes, n=16384 // most) == f"{operation}_slabs"
    assert name_with(lanes, n=16384 // most + 1) == f"{operation}_across"
    for changes in BEYOND:
        assert name_with(lanes, **changes) == f"{operation}_slabs"


@pytest.mark.parametrize(
    ("operation", "dtype", "fewest", "most"),
    [
        ("softmax", np.float32, 64, 65536),
        ("softmax", np.float64, 32, 65536),
        ("log_softmax", np.float32, 128, 2048),
        ("log_softmax", np.float64, 64, 2048),
        ("logsumexp", np.float32, 128, 2048),
        ("logsumexp", np.float64, 64, 2048),
    ],
)
def test_rows_that_lie_across_memory_are_taken_line_by_line_with_vectors_of_32_bytes(
    operation: str, dtype: Any, fewest: int, most: int
) -> None:
    lines = {"operation": operation, "dtype": np.dtype(dtype), "rows": 3 * 64, "inner": 64, "vector_bytes": 32}

    def name_with(**changes: Any) -> str:
        return name_of(planned(**{**lines, "n": fewest, "threads": 1, **changes}))

    for n in (fewest, most):
        chosen = planned(**lines, n=n)
        assert chosen.kernel is SHARED_LINES[operation]
        assert chosen.serial is LINES[operation]
        assert not chosen.reorder
    assert name_with(n=fewest - 1) == f"{operation}_across"
    longer = planned(**lines, n=most + 1)
    assert longer.reorder or name_of(longer) == f"{operation}_across"
    for changes in (*BEYOND, {"dtype": np.dtype(np.float16)}, {"vector_bytes": 64}):
        assert name_with(**changes) == f"{operation}_across"

    size = np.dtype(dtype).itemsize
    few = 4096 // (size * fewest)
    assert name_with(rows=few, inner=few) == f"{operation}_shared_lines"
    assert name_with(rows=few - 1, inner=few - 1) == f"{operation}_across"
    assert name_with(rows=1 << 20, inner=1 << 20) == f"{operation}_shared_lines"
    widest = 16384 // (64 // size)  # neighbours of a run of as many lines as a vector has lanes
    assert name_with(rows=widest - 1, inner=widest - 1, n=255) == f"{operation}_shared_lines"
    assert name_with(rows=widest + 1, inner=widest + 1, n=255) == f"{operation}_across"
    assert name_with(rows=widest + 1, inner=widest + 1, n=256) == f"{operation}_shared_lines"
    assert name_with(rows=8184, inner=8184, n=255) == f"{operation}_shared_lines"
    assert name_with(rows=8191, inner=8191, n=256) == f"{operation}_shared_lines"
    assert name_with(rows=8193, inner=8193, n=256) == f"{operation}_across"

    uneven = {"inner": 1001, "n": 1000, "threads": 2}
    assert name_with(**uneven, rows=4 * 1001) == f"{operation}_shared_lines"
    assert name_with(**uneven, rows=3 * 1001) == f"{operation}_across"
    assert name_with(**{**uneven, "inner": 1008}, rows=1008) == f"{operation}_shared_lines"


def test_threads_share_slabs_out_by_whole_tiles() -> None:
    few, many = ({"inner": 4, "rows": 4 * 16 * tiles, "n": 4096} for tiles in (7, 8))
    assert name_of(planned(**few, threads=1)) == name_of(planned(**many)) == "softmax_slabs"
    assert name_of(planned(**few)) == "softmax_across"
    assert planned(**few).parts == 7 * 16 * 4 * 4096 // POOL_PART
    assert planned(**many).parts == 2
    assert planned(**{**many, "rows": 4 * 16 * 12}).parts == 3
    assert planned(**many, threads=1).parts == 1
    assert planned(inner=4, rows=4 * 16 * 9, n=70).parts == 1


@pytest.mark.parametrize("changes", [{"dtype": np.dtype(np.longdouble)}, {"compiled": False}])
def test_plain_numpy_takes_no_rows_that_lie_across_memory(changes: dict[str, Any]) -> None:
    assert planned(inner=2, **changes) == planned(**changes)._replace(reorder=True)


@pytest.mark.parametrize("operation", KERNELS)
@pytest.mark.parametrize(
    "changes", [{"dtype": np.dtype(np.longdouble)}, {"dtype": np.dtype(np.complex64)}, {"compiled": False}]
)
def test_what_no_kernel_takes_is_for_plain_numpy(operation: str, changes: dict[str, Any]) -> None:
    chosen = planned(operation=operation, **changes)
    assert chosen.kernel is None
    assert chosen.plain is PLAIN[operation]


def test_parallel_begins_at_the_threshold() -> None:
    rows, n = PARALLEL_ELEMENTS // 16, 16
    assert planned(rows=rows, n=n).parallel
    assert not planned(rows=rows - 1, n=n).parallel


def test_parts_for_the_pool_begin_at_a_threshold_of_their_own() -> None:
    rows, n = POOL_ELEMENTS // 16, 16
    assert planned(rows=rows - 1, n=n).parts == 1
    assert planned(rows=rows, n=n).parts == 2
    assert planned(rows=10 * rows, n=n).parts == 20
    assert planned(rows=10 * rows, n=n, threads=1).parts == 1
    assert planned(rows=1, n=10 * POOL_ELEMENTS).parts == 1


@pytest.mark.parametrize("operation", KERNELS)
def test_below_the_threshold_nothing_else_counts_but_how_many_rows_are_taken_at_once(operation: str) -> None:
    """On which `_direct` relies."""
    for rows, n in itertools.product((1, 2, 3, 16, 100, 1000, PARALLEL_ELEMENTS), repeat=2):
        if rows * n < PARALLEL_ELEMENTS:
            chosen = planned(operation=operation, rows=rows, n=n)
            kernels = kernels_of_rows(operation, FLOAT32, rows, n)
            assert chosen == planned(operation=operation, **REPRESENTATIVE[kernels is SHORT, kernels is GROUPED])
            assert chosen.kernel is kernels[operation]
            assert not chosen.parallel


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("operation", SHARED)
def test_one_long_row_is_shared_out(operation: str, dtype: Any) -> None:
    shortest = SHARED_ROW[np.dtype(dtype).itemsize]
    long = {"operation": operation, "rows": 1, "n": shortest, "dtype": np.dtype(dtype)}
    assert name_of(planned(**long)) == f"{operation}_shared_rows"
    assert planned(**long).parallel
    assert planned(**long).serial is LONG[operation]
    assert name_of(planned(**long, threads=2)) == f"{operation}_shared_rows"
    for changes in ({"n": shortest - 1}, {"threads": 1}):
        assert name_of(planned(**{**long, **changes})) == f"{operation}_long_rows"
        assert not planned(**{**long, **changes}).parallel
    assert name_of(planned(**{**long, "rows": 2})) == f"{operation}_long_rows"
    assert planned(**{**long, "rows": 2}).parallel


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_one_long_row_of_16_bits_is_shared_out_unless_the_result_would_have_to_hold_exponentials(dtype: Any) -> None:
    long = {"rows": 1, "n": SHARED_ROW[2], "dtype": dtype}
    assert name_of(planned(**long)) == "softmax_long_rows"
    assert not planned(**long).parallel
    for operation in set(SHARED) - {"softmax"}:
        assert name_of(planned(operation=operation, **long)) == f"{operation}_shared_rows"
        shorter = {**long, "n": SHARED_ROW[2] - 1}
        assert name_of(planned(operation=operation, **shorter)) == f"{operation}_long_rows"


@pytest.mark.parametrize(
    ("dtype", "shortest"), [*((dtype, 16384) for dtype in HALVES), (np.float32, 8192), (np.float64, 16384)], ids=str
)
@pytest.mark.parametrize("operation", LONG)
def test_long_rows_are_read_piece_by_piece(operation: str, dtype: Any, shortest: int) -> None:
    rows = PARALLEL_ELEMENTS // shortest
    long = {"operation": operation, "rows": rows, "n": shortest, "dtype": np.dtype(dtype)}
    for changes in ({}, {"threads": 1}, {"threads": 2}, {"rows": 2 * rows}, {"rows": 1, "n": PARALLEL_ELEMENTS}):
        assert name_of(planned(**{**long, **changes})) == f"{operation}_long_rows"
    for changes in ({"rows": rows - 1}, {"rows": 2 * rows, "n": shortest - 1}):
        assert name_of(planned(**{**long, **changes})) == f"{operation}_rows"
    assert name_of(planned(**{**long, "inner": 2})) == f"{operation}_across"
    assert name_of(planned(operation="logsumexp", rows=rows, n=shortest, weighted=True)) == "weighted_logsumexp_rows"


@pytest.mark.parametrize("changes", BEYOND)
def test_long_rows_are_read_piece_by_piece_only_at_temperatures_that_need_no_preparing(changes: dict[str, Any]) -> None:
    for operation in ("softmax", "log_softmax"):
        assert name_of(planned(operation=operation, n=LONG_ROW[4], **changes)) == f"{operation}_rows"


def test_a_weighted_sum_of_one_long_row_is_serial() -> None:
    chosen = planned(operation="logsumexp", rows=1, n=SHARED_ROW[4], weighted=True)
    assert name_of(chosen) == "weighted_logsumexp_rows"
    assert not chosen.parallel


@pytest.mark.parametrize("operation", sorted(set(KERNELS) - set(SHARED)))
def test_one_row_of_other_operations_is_serial_however_long(operation: str) -> None:
    assert not planned(operation=operation, rows=1, n=100 * PARALLEL_ELEMENTS).parallel
    assert planned(operation=operation, rows=2, n=100 * PARALLEL_ELEMENTS).parallel


@pytest.mark.parametrize(("threads", "parallel"), [(None, True), (1, False), (2, True), (64, True)])
def test_one_thread_asked_for_is_serial(threads: int | None, parallel: bool) -> None:
    assert planned(rows=PARALLEL_ELEMENTS, n=2, threads=threads).parallel == parallel


@pytest.mark.parametrize("changes", BEYOND)
@pytest.mark.parametrize("operation", SHORT)
def test_temperatures_decide_nothing_for_several_rows(operation: str, changes: dict[str, Any]) -> None:
    for facts in ({}, {"rows": 100, "n": 5}, {"n": 50}, {"inner": 7}):
        assert planned(operation=operation, **facts, **changes) == planned(operation=operation, **facts)


@pytest.mark.parametrize("changes", BEYOND)
def test_one_long_row_is_shared_out_only_at_temperatures_that_need_no_preparing(changes: dict[str, Any]) -> None:
    within = {"lowest_temperature": SMALLEST_TEMPERATURE, "highest_temperature": LARGEST_TEMPERATURE}
    assert name_of(planned(rows=1, n=SHARED_ROW[4], **within)) == "softmax_shared_rows"
    assert name_of(planned(rows=1, n=SHARED_ROW[4], **changes)) == "softmax_rows"


@pytest.mark.parametrize("operation", KERNELS)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_kernels_take_plain_rows_of_16_bits_as_they_are(operation: str, dtype: Any) -> None:
    assert planned(operation=operation, dtype=dtype) == planned(operation=operation)
    assert not planned(operation=operation, dtype=dtype).widen


@pytest.mark.parametrize(
    "changes",
    [
        {"operation": "logsumexp", "weighted": True},
        {"lowest_temperature": 0.0},
        {"highest_temperature": np.inf},
        {"compiled": False},
    ],
)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_rows_of_16_bits_are_widened_for_all_other_code(dtype: Any, changes: dict[str, Any]) -> None:
    assert planned(dtype=dtype, **changes) == planned(**changes)._replace(widen=True)


@pytest.mark.parametrize("facts", [{"rows": 100, "n": 5}, {"inner": 7}])
@pytest.mark.parametrize("changes", BEYOND)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_tiles_hold_rows_of_16_bits_widened_at_any_temperature(
    dtype: Any, changes: dict[str, Any], facts: dict[str, Any]
) -> None:
    assert planned(dtype=dtype, **facts, **changes) == planned(**facts)


def test_swapped_bytes_are_nothing_for_kernels() -> None:
    for dtype in (">f2", ">f4"):
        assert planned(dtype=np.dtype(dtype)).kernel is None

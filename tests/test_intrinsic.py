"""Numba looks through its registries for an intrinsic of its own at each call, for one of this package never."""

import inspect
from typing import Any

import numba.extending
import pytest
from numba import njit, types
from numba.core.typing import templates

from softmaxjit._intrinsic import intrinsic
from softmaxjit._simd.arithmetic import fma


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what the registries have been searched for."""
    found = []
    search = templates._TemplateTargetHelperMixin._get_target_registry

    def counting(self: Any, reason: str) -> Any:
        if reason == "intrinsic":
            found.append(str(self.key))
        return search(self, reason)

    monkeypatch.setattr(templates._TemplateTargetHelperMixin, "_get_target_registry", counting)
    return found


def one(_, x):
    """Return 1."""
    return types.int64(x), lambda context, *_: context.get_constant(types.int64, 1)


@pytest.mark.parametrize("options", [{}, {"prefer_literal": True}])
def test_of_this_package(options: dict[str, bool], searches: list[str]) -> None:
    ours = intrinsic(**options)(one) if options else intrinsic(one)
    assert njit(lambda x: ours(x) + ours(x))(2.0) == 2
    assert njit(lambda x: fma(x, x, x))(3.0) == 12.0
    assert searches == []
    assert inspect.getdoc(ours) == "Return 1."


def test_of_numba(searches: list[str]) -> None:
    theirs = numba.extending.intrinsic(one)
    assert njit(lambda x: theirs(x) + theirs(x))(2.0) == 2
    assert len(searches) >= 2

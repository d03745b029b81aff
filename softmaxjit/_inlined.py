"""How pieces of kernels compile: to LLVM code that is optimised in what calls them, and to machine code nowhere.

Numba would optimise each piece by itself and once more in every caller, up to the kernel, and make machine code of it
each time, which nobody runs; look in it for what it has none of; and compile it again for each constant it is given.
Without all that a first softmax takes 0.6 of the time (processor time of a process with an empty cache).
"""

from typing import Any

from llvmlite.binding import Linkage
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.registry import CPUDispatcher
from numba.core.types.misc import unliteral

# Passes for closures, comprehensions, `with`, changing messages of exceptions and expressions of arrays.
_NOT_NEEDED = {
    "with_lifting",
    "inline_closure_likes",
    "Rewrite dynamic raises",
    "make_function_op_code_to_jit_function",
    "inline_inlinables",
    "literal_unroll",
    "LiteralPropagation",
    "inline_overloads",
    "nopython_rewrites",
    "dump_parfor_diagnostics",
}


class InlinedFunction(CPUDispatcher):
    """A function compiled once for each combination of types: constants become known where it is inlined."""

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """Return what Numba types a call with."""
        kws = {name: unliteral(kind) for name, kind in kws.items()}
        return super().get_call_template([unliteral(kind) for kind in args], kws)


class LinkedCompiler(CompilerBase):
    """Numba's compiler, for functions that only compiled code calls."""

    def define_pipelines(self) -> list[Any]:
        """Return the passes, and set where their result goes."""
        state = self.state
        state.library = _LinkedLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        return [DefaultPassBuilder.define_nopython_pipeline(state)]


class InlinedCompiler(LinkedCompiler):
    """The same without what pieces of kernels do not need."""

    def define_pipelines(self) -> list[Any]:
        """Return the passes, and set where their result goes."""
        (passes,) = super().define_pipelines()
        passes.passes = [each for each in passes.passes if each[0].name() not in _NOT_NEEDED]
        passes.finalize()
        return [passes]


class _LinkedLibrary(JITCodeLibrary):
    """LLVM code that is there to be linked to other code.

    What it calls is linked to it when that other code asks for it, once for all, instead of to each piece on the way: a
    first softmax takes 0.94 of the time.  Each function is still simplified by itself: without that, softmax of
    (8, 200, 49) along axis 1 took 1.1 of its time, and 1.01 to 1.03 with LLVM's first level instead of its third.
    """

    _whole: Any = None  # what there is to link

    def finalize(self) -> None:
        """Let other code link it, which verifies the whole."""
        self._raise_if_finalized()
        self._finalize_dynamic_globals()
        self._reload_init.update(*[library._reload_init for library in self._linking_libraries])
        self._finalized = True
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == Linkage.external:
                function.linkage = "linkonce_odr"

    def _get_module_for_linking(self) -> Any:
        if self._whole is None:
            self._whole = self._final_module.clone()
            for library in self._called():
                own = isinstance(library, _LinkedLibrary)
                called = library._final_module if own else library._get_module_for_linking()
                self._whole.link_in(called, preserve=True)
        return self._whole

    def _called(self) -> dict[Any, None]:
        """Return the libraries of all that is called from here, and from there, each once."""
        called: dict[Any, None] = {}
        for library in self._linking_libraries:
            if library not in called:
                called |= {library: None, **(library._called() if isinstance(library, _LinkedLibrary) else {})}
        return called

    def get_pointer_to_function(self, name: str) -> int:  # noqa: ARG002
        self._ensure_finalized()
        return 0  # which to Numba means that there is none

    @property
    def codegen(self) -> "_LinkedLibrary":
        """Stand in for it: Numba calls ``library.codegen.set_env`` when a function is done, and that call ends here."""
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """Leave out what Numba tells the machine code of a function once it is there."""

"""Who is compared: softmaxjit and its peers, each as the fastest calls that its own documentation offers.

A contender is a function that imports its library, receives the operation and the logits, and returns calls without
arguments.  ``into`` writes a result that was allocated before; ``allocating`` returns a new one.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

OPERATIONS = ("softmax", "log_softmax", "logsumexp")

Call = Callable[[], Any]


class Problem(NamedTuple):
    """What every contender is to compute."""

    operation: str
    x: np.ndarray
    axis: int
    threads: int

    def empty_result(self) -> np.ndarray:
        """Return an array for the result, its pages touched: only the allocating calls are to pay for fresh pages."""
        shape = list(self.x.shape)
        if self.operation == "logsumexp":
            del shape[self.axis]
        return np.ones(shape, self.x.dtype)


class Calls(NamedTuple):
    """The calls of one contender; ``into`` is None where the library cannot write into an existing array."""

    allocating: Call
    into: Call | None = None


def softmaxjit(problem: Problem) -> Calls:
    """Ours, with the number of threads left to Numba, as users call it."""
    function = getattr(import_module("softmaxjit"), problem.operation)
    x, axis, out = problem.x, problem.axis, problem.empty_result()
    return Calls(lambda: function(x, axis), lambda: function(x, axis, out=out))


def onnxruntime(problem: Problem) -> Calls:
    """Run a model of one operator on NumPy arrays; ``out=`` is an I/O binding."""
    onnx, runtime = import_module("onnx"), import_module("onnxruntime")
    helper, element = onnx.helper, onnx.helper.np_dtype_to_tensor_dtype(problem.x.dtype)
    if problem.operation == "logsumexp":
        node = helper.make_node("ReduceLogSumExp", ["x"], ["y"], axes=[problem.axis], keepdims=0)
    else:
        operator = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}[problem.operation]
        node = helper.make_node(operator, ["x"], ["y"], axis=problem.axis)
    out = problem.empty_result()
    x_info = helper.make_tensor_value_info("x", element, problem.x.shape)
    y_info = helper.make_tensor_value_info("y", element, out.shape)
    graph = helper.make_graph([node], problem.operation, [x_info], [y_info])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)

    options = runtime.SessionOptions()
    options.intra_op_num_threads = problem.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    x_value = runtime.OrtValue.ortvalue_from_numpy(problem.x)
    out_value = runtime.OrtValue.ortvalue_from_numpy(out)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", x_value)
    binding.bind_ortvalue_output("y", out_value)

    def into() -> Any:
        session.run_with_iobinding(binding)
        return out_value

    return Calls(lambda: session.run(None, {"x": problem.x})[0], into)


def torch(problem: Problem) -> Calls:
    """PyTorch without gradients, on the memory of the NumPy arrays."""
    torch = import_module("torch")
    torch.set_num_threads(problem.threads)
    torch.set_num_interop_threads(1)
    torch.set_grad_enabled(False)
    function = getattr(torch, problem.operation)
    x, axis, out = torch.from_numpy(problem.x), problem.axis, torch.from_numpy(problem.empty_result())
    return Calls(lambda: function(x, axis), lambda: function(x, axis, out=out))


def jax(problem: Problem) -> Calls:
    """Jit a function of an array that JAX holds already; its results are immutable, so there is no ``out=``."""
    jax = import_module("jax")
    function = getattr(jax.nn, problem.operation)
    jitted = jax.jit(lambda x: function(x, axis=problem.axis))
    x = jax.device_put(problem.x)
    return Calls(lambda: jitted(x).block_until_ready())


def scipy(problem: Problem) -> Calls:
    """SciPy takes no ``out=``."""
    function = getattr(import_module("scipy.special"), problem.operation)
    return Calls(lambda: function(problem.x, axis=problem.axis))


def numpy(problem: Problem) -> Calls:
    """Spell out the textbook formula with the maximum subtracted."""
    x, axis, out = problem.x, problem.axis, problem.empty_result()

    def softmax(shifted: np.ndarray | None = None) -> Any:
        exponentials = np.subtract(x, x.max(axis=axis, keepdims=True), out=shifted)
        np.exp(exponentials, out=exponentials)
        exponentials /= exponentials.sum(axis=axis, keepdims=True)
        return exponentials

    def log_softmax(shifted: np.ndarray | None = None) -> Any:
        shifted = np.subtract(x, x.max(axis=axis, keepdims=True), out=shifted)
        shifted -= np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
        return shifted

    def logsumexp(result: np.ndarray | None = None) -> Any:
        largest = x.max(axis=axis, keepdims=True)
        total = np.exp(x - largest).sum(axis=axis)
        return np.add(np.log(total), np.squeeze(largest, axis), out=result)

    function = {"softmax": softmax, "log_softmax": log_softmax, "logsumexp": logsumexp}[problem.operation]
    return Calls(function, lambda: function(out))


class Contender(NamedTuple):
    """A row of the table: what is printed, what must be installed, and how to prepare the calls."""

    title: str
    modules: tuple[str, ...]
    prepare: Callable[[Problem], Calls]


CONTENDERS = {
    "softmaxjit": Contender("softmaxjit", ("softmaxjit",), softmaxjit),
    "onnxruntime": Contender("ONNX Runtime", ("onnxruntime", "onnx"), onnxruntime),
    "torch": Contender("PyTorch", ("torch",), torch),
    "jax": Contender("JAX", ("jax",), jax),
    "scipy": Contender("SciPy", ("scipy",), scipy),
    "numpy": Contender("NumPy textbook", ("numpy",), numpy),
}


def thread_environment(threads: int) -> dict[str, str]:
    """Return what a contender's process must have in its environment before it imports anything."""
    number = str(threads)
    many = "true" if threads > 1 else "false"
    return {
        "NUMBA_NUM_THREADS": number,
        "OMP_NUM_THREADS": number,
        "MKL_NUM_THREADS": number,
        "OPENBLAS_NUM_THREADS": number,
        "NPROC": number,  # the size of JAX's pool
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={many} intra_op_parallelism_threads={number}",
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "1",
    }


def check(problem: Problem, result: Any) -> None:
    """Raise unless a result is about right, so that nobody is timed for something else."""
    x = problem.x.astype(np.float64)
    x -= x.max(axis=problem.axis, keepdims=True)
    if problem.operation == "softmax":
        expected = np.exp(x)
        expected /= expected.sum(axis=problem.axis, keepdims=True)
    else:
        log = np.log(np.exp(x).sum(axis=problem.axis, keepdims=True))
        largest = problem.x.max(axis=problem.axis, keepdims=True)
        expected = np.squeeze(largest + log, problem.axis) if problem.operation == "logsumexp" else x - log
    # An OrtValue turns into an array by its method; so does a tensor.
    array = result.numpy() if hasattr(result, "numpy") else np.asarray(result)
    assert array.dtype == problem.x.dtype, array.dtype
    np.testing.assert_allclose(array, expected, rtol=2e-4, atol=1e-6)

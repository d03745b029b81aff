"""Who is compared: softmaxjit and its peers, each as the fastest calls that its own documentation offers.

A contender is a function that imports its library, receives the operation and the logits, and returns calls without
arguments.  ``into`` writes a result that was allocated before; ``allocating`` returns a new one.

The copy past the caches is no peer but the roof: it reads and writes as much as softmax does, and computes nothing.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from .._kernels.copy import COPY_BLOCK_ELEMENTS, stream_copy
from .problem import Array, Problem
from .table import PEERS

OURS = "softmaxjit"
ROOF = "copy"

Call = Callable[[], Any]


def as_array(result: Any) -> Array:
    """Return a result as an array, as ONNX Runtime and NumPy's heirs give it."""
    return np.asarray(result.numpy() if hasattr(result, "numpy") else result)


class Calls(NamedTuple):
    """The calls of one contender, None where it has no such; `read` makes an array of what they return."""

    allocating: Call | None = None
    into: Call | None = None
    read: Callable[[Any], Array] = as_array


def softmaxjit(problem: Problem) -> Calls:
    """Ours, with the number of threads left to Numba, as users call it."""
    function = getattr(import_module("softmaxjit"), problem.setting.operation)
    x, axis, out = problem.x, problem.setting.axis, problem.empty_result()
    return Calls(lambda: function(x, axis), lambda: function(x, axis, out=out))


def onnxruntime(problem: Problem) -> Calls:
    """Run a model of one operator on NumPy arrays; ``out=`` is an I/O binding."""
    onnx, runtime = import_module("onnx"), import_module("onnxruntime")
    helper, element = onnx.helper, onnx.helper.np_dtype_to_tensor_dtype(problem.x.dtype)
    if problem.setting.operation == "logsumexp":
        node = helper.make_node("ReduceLogSumExp", ["x"], ["y"], axes=[problem.setting.axis], keepdims=0)
    else:
        operator = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}[problem.setting.operation]
        node = helper.make_node(operator, ["x"], ["y"], axis=problem.setting.axis)
    out = problem.empty_result()
    x_info = helper.make_tensor_value_info("x", element, problem.x.shape)
    y_info = helper.make_tensor_value_info("y", element, out.shape)
    graph = helper.make_graph([node], problem.setting.operation, [x_info], [y_info])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)

    options = runtime.SessionOptions()
    options.intra_op_num_threads = problem.setting.threads
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
    torch.set_num_threads(problem.setting.threads)
    torch.set_num_interop_threads(1)
    torch.set_grad_enabled(False)
    function = getattr(torch, problem.setting.operation)
    narrow = problem.setting.dtype == "bfloat16"  # of which torch makes no tensor, and its tensors no array

    def tensor(array: Array) -> Any:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16) if narrow else torch.from_numpy(array)

    def read(result: Any) -> Array:
        return as_array(result.view(torch.int16)).view(problem.x.dtype) if narrow else as_array(result)

    x, axis, out = tensor(problem.x), problem.setting.axis, tensor(problem.empty_result())
    return Calls(lambda: function(x, axis), lambda: function(x, axis, out=out), read)


def jax(problem: Problem) -> Calls:
    """Jit a function of an array that JAX holds already; its results are immutable, so there is no ``out=``."""
    jax = import_module("jax")
    function = getattr(jax.nn, problem.setting.operation)
    jitted = jax.jit(lambda x: function(x, axis=problem.setting.axis))
    x = jax.device_put(problem.x)
    return Calls(lambda: jitted(x).block_until_ready())


def scipy(problem: Problem) -> Calls:
    """SciPy takes no ``out=``."""
    function = getattr(import_module("scipy.special"), problem.setting.operation)
    return Calls(lambda: function(problem.x, axis=problem.setting.axis))


def numpy(problem: Problem) -> Calls:
    """Spell out the textbook formula with the maximum subtracted."""
    x, axis, out = problem.x, problem.setting.axis, problem.empty_result()

    def softmax(shifted: Array | None = None) -> Any:
        exponentials = np.subtract(x, x.max(axis=axis, keepdims=True), out=shifted)
        np.exp(exponentials, out=exponentials)
        exponentials /= exponentials.sum(axis=axis, keepdims=True)
        return exponentials

    def log_softmax(shifted: Array | None = None) -> Any:
        shifted = np.subtract(x, x.max(axis=axis, keepdims=True), out=shifted)
        shifted -= np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
        return shifted

    def logsumexp(result: Array | None = None) -> Any:
        largest = x.max(axis=axis, keepdims=True)
        total = np.exp(x - largest).sum(axis=axis)
        return np.add(np.log(total), np.squeeze(largest, axis), out=result)

    function = {"softmax": softmax, "log_softmax": log_softmax, "logsumexp": logsumexp}[problem.setting.operation]
    return Calls(function, lambda: function(out))


def copy(problem: Problem) -> Calls:
    """Copy as many bytes with stores past the caches, on as many threads."""
    x = np.ones(-(-problem.x.nbytes // 8))  # whatever they stand for, they are copied as float64
    out = np.zeros_like(x)
    shared = problem.setting.threads > 1 and x.size > COPY_BLOCK_ELEMENTS  # one block is not worth waking threads
    kernel = stream_copy.compiled(x.dtype, parallel=shared)

    def into() -> Array:
        kernel(x, out)
        return out

    return Calls(into=into)


class Contender(NamedTuple):
    """A row of the table: what is printed, what must be installed, and how to prepare the calls."""

    title: str
    modules: tuple[str, ...]
    prepare: Callable[[Problem], Calls]


CONTENDERS = {
    OURS: Contender("softmaxjit", ("softmaxjit",), softmaxjit),
    **{peer.__name__: Contender(*PEERS[peer.__name__], peer) for peer in (onnxruntime, torch, jax, scipy, numpy)},
    ROOF: Contender("streaming copy", ("softmaxjit",), copy),
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


def check_copy(result: Array) -> None:
    """Raise ValueError unless a copy is one."""
    if not (result == 1.0).all():
        raise ValueError("a wrong copy")

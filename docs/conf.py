"""How Sphinx makes the API reference: ``make docs``."""

import inspect
import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import softmaxjit
from softmaxjit import calibration, special

project = "softmaxjit"
author = "The softmaxjit developers"
copyright = author  # noqa: A001  Sphinx's name
version = release = softmaxjit.__version__

extensions = ["sphinx.ext.autodoc", "numpydoc"]
exclude_patterns = ["build"]
autodoc_typehints = "none"  # the docstrings say types, with shapes
numpydoc_show_class_members = False

html_math_renderer = "mathml"
html_theme = "alabaster"
html_theme_options = {"page_width": "1100px", "fixed_sidebar": True, "description": "Softmax for NumPy and Numba"}
html_sidebars = {"**": ["about.html", "navigation.html", "searchfield.html"]}
html_copy_source = False

# In single quotes docstrings have public names, which become links, and parameters, which need none.  So every quoted
# name that is neither is a warning, and warnings are errors.
default_role = "py:obj"
nitpicky = True


def parameters() -> set[str]:
    """Return the names of all parameters of what is documented."""
    found = set()
    for module in (softmaxjit, calibration, special):
        for name in module.__all__ if hasattr(module, "__all__") else ("softmax", "log_softmax", "logsumexp"):
            value = getattr(module, name)
            methods = [method for _, method in inspect.getmembers(value, inspect.isfunction)]
            for function in [value, *methods]:
                if callable(function):
                    found |= set(inspect.signature(function).parameters)
    return found


nitpick_ignore = [("py:obj", name) for name in parameters() | {"x"}]  # x is the argument of the ufuncs
nitpick_ignore_regex = [("py:.*", r"numpy\..*")]


def setup(app: Any) -> None:
    """Let docstrings of submodules call what the package itself has by its short name; write formulas as MathML."""
    app.connect("missing-reference", in_the_package)
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))


THIN = '<mspace width="0.17em"/>'  # docutils leaves no room before and after a function


def write_formula(page: Any, node: Any) -> None:
    """Write a formula as what browsers draw by themselves: MathJax would come from the network."""
    as_block = node.tagname == "math_block"
    # A bar and an index of the same letter would stand above and below it, as on a sum.
    source = re.sub(r"(\\bar\{\w\})_", r"{\1\!}_", node.astext())
    formula = tex2mathml(source, as_block=as_block).replace("<mi>log</mi>", f"{THIN}<mi>log</mi>{THIN}")
    page.body.append(f'<div style="margin: 1em 0">{formula}</div>' if as_block else formula)
    raise nodes.SkipNode


def in_the_package(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Return a link to ``softmaxjit.NAME``, or None."""
    if node.get("refdomain") != "py" or "refdoc" not in node:
        return None
    target = f"softmaxjit.{node['reftarget']}"
    return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, content)

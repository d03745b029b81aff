"""What the README shows is true."""

import re
from pathlib import Path

import numpy as np

import softmaxjit

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_python_examples_run() -> None:
    source = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    names: dict[str, object] = {}
    exec(compile(source, "README.md", "exec"), names)  # noqa: S102
    logits, probabilities = names["logits"], names["probabilities"]
    np.testing.assert_array_equal(probabilities, softmaxjit.softmax(logits))
    np.testing.assert_array_equal(names["calibrated"], softmaxjit.softmax(logits, temperature=names["fit"].temperature))
    log_p = softmaxjit.log_softmax(logits)
    np.testing.assert_allclose(names["entropies"](logits), -(np.exp(log_p) * log_p).sum(axis=1), rtol=1e-5)


def test_every_public_function_is_in_the_table() -> None:
    functions = {name for name in softmaxjit.__all__ if not name.startswith("_")}
    assert functions <= set(re.findall(r"`(\w+)\(", README))


def test_make_knows_every_target_that_the_documents_name() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    text = README + (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = set(re.findall(r"(?:^|`)make ([\w-]+)", text, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []

"""Check links without a network: ``python docs/check_links.py PATH...``, of Markdown, notebooks and folders of HTML.

A link to a file must lead to a file, and its anchor to a heading or an element there.  Of links to other sites only the
form is checked: https, and a host.
"""

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links and anchors of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag links to, and what it is called."""
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value and tag != "script":
                self.links.append(value)


def markdown_of(path: Path) -> str:
    """Return the prose of a Markdown file or a notebook, without its code."""
    text = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


@cache
def contents(path: Path) -> tuple[list[str], set[str]]:
    """Return the links of a file and the anchors in it."""
    if path.suffix == ".html":
        page = Page(path.read_text("utf-8"))
        return page.links, page.anchors
    if path.suffix not in (".md", ".ipynb"):
        return [], set()
    text = markdown_of(path)
    headings = re.findall(r"^#+ +(.*?)\s*$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    # The text of a link may go on in the next line, and have an image in it.
    return re.findall(r"\]\(\s*([^)\s]+)\s*\)", text), anchors


def broken_links(path: Path) -> Iterator[str]:
    """Yield a line for each link of a file that leads nowhere."""
    for link in contents(path)[0]:
        parts = urlsplit(link)
        if parts.scheme in ("data", "mailto"):
            continue
        if parts.scheme or parts.netloc:
            if parts.scheme != "https" or "." not in parts.netloc:
                yield f"{path}: {link} is no https address"
            continue
        if parts.path.startswith("/"):
            yield f"{path}: {link} is a path of one machine"
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not target.exists():
            yield f"{path}: {link} leads to no file"
        elif parts.fragment and unquote(parts.fragment) not in contents(target)[1]:
            yield f"{path}: {link} leads to no such place"


def files(paths: list[Path]) -> Iterator[Path]:
    """Yield the files to check: of directories all that is HTML."""
    for path in paths:
        yield from sorted(path.rglob("*.html")) if path.is_dir() else [path]


def main() -> int:
    """Print what is broken; return 1 if anything is."""
    checked = [path.resolve() for path in files([Path(argument) for argument in sys.argv[1:]])]
    lines = [line for path in checked for line in broken_links(path)]
    print("\n".join([*lines, f"{len(checked)} files, {len(lines)} broken links"]))
    return 1 if lines or not checked else 0


if __name__ == "__main__":
    sys.exit(main())

"""Write docs/api.md from the docstrings of what ``import qdtrack_model`` gives.

``python tools/api_page.py > docs/api.md``

Definitions are shown as they stand in the source: signatures, and the fields of dataclasses with their comments.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator

import qdtrack_model

INTRODUCTION = """\
# Python

Written by `python tools/api_page.py > docs/api.md` from the docstrings. `import qdtrack_model` gives these names and
imports nothing else until one of them is used. Images are as OpenCV has them: (height, width, 3), BGR, uint8. Boxes are
x1 y1 x2 y2 in pixels of the image, edges rather than pixel indices. What else there is, such as drawing and scoring, is
imported from where [architecture](architecture.md) says it is.
"""
ROLE = re.compile(r":\w+:`([^`]+)`")
SECTION = re.compile(r"^(Args|Attributes|Example|Raises|Returns|Yields):\n((?: {4}.*\n|\n)+)", re.MULTILINE)


def markdown(docstring: str) -> str:
    """A docstring in Google's style as Markdown."""
    return SECTION.sub(_section, ROLE.sub(r"`\1`", docstring).replace("``", "`") + "\n").strip() + "\n"


def _section(match: re.Match[str]) -> str:
    title, body = match[1], textwrap.dedent(match[2]).strip()
    if title == "Example":
        return f"```python\n{body}\n```\n\n"
    body = re.sub(r"\n +", " ", body)  # further lines of an item
    if title in ("Returns", "Yields"):
        return f"**{title}** {body}\n\n"
    return f"**{title}**\n\n" + re.sub(r"^(\w+): ", r"- `\1`: ", body, flags=re.MULTILINE) + "\n\n"


def _lines(source: list[str], first: int, last: int) -> str:
    return textwrap.dedent("\n".join(source[first - 1 : last])).strip()


def _definition(node: ast.FunctionDef | ast.ClassDef, source: list[str]) -> str:
    """A function's decorators and signature, the fields of a dataclass, or how another class is made."""
    if isinstance(node, ast.FunctionDef):
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        return _lines(source, first, node.body[0].lineno - 1).removesuffix(":")
    fields = [one for one in node.body if isinstance(one, ast.AnnAssign | ast.Assign)]
    if fields:
        return _lines(source, fields[0].lineno, fields[-1].end_lineno or 0)
    made = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    return _lines(source, made[0].lineno, made[0].body[0].lineno - 1).removesuffix(":") if made else ""


def _entry(heading: str, node: ast.FunctionDef | ast.ClassDef, source: list[str]) -> Iterator[str]:
    yield heading + "\n"
    if definition := _definition(node, source):
        yield f"```python\n{definition}\n```\n"
    yield markdown(ast.get_docstring(node) or "")


def entries(name: str) -> Iterator[str]:
    """Headings, definitions and texts of a public name and of its public methods."""
    source = inspect.getsource(getattr(qdtrack_model, name)).splitlines()
    [node] = ast.parse("\n".join(source)).body
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    yield from _entry(f"## {name}", node, source)
    for method in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
            yield from _entry(f"### {name}.{method.name}", method, source)


def page() -> str:
    """The text of docs/api.md: functions, classes, errors."""

    def rank(name: str) -> tuple[int, str]:
        value = getattr(qdtrack_model, name)
        return (0 if inspect.isfunction(value) else 2 if issubclass(value, Exception) else 1), name

    names = sorted(qdtrack_model.__all__, key=rank)
    return "\n".join([INTRODUCTION, *(text for name in names for text in entries(name))])


if __name__ == "__main__":
    print(page(), end="")

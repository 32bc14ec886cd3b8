"""docs/structure.md says of each module what the module says of itself, and of no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "src" / "hidream_studio"


def first_line(module: Path) -> str:
    return (ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or "").split("\n")[0]


def test_each_module_has_its_line_and_each_line_its_module() -> None:
    page = (PROJECT / "docs" / "structure.md").read_text(encoding="utf-8")
    told: dict[str, str] = {}
    for section in page.split("\n### ")[1:]:
        folder = section.split("`")[1].removeprefix("hidream_studio/")
        told |= {folder + name: line for name, line in re.findall(r"(?m)^- `(\w+\.py)`: (.+)$", section)}
    modules = (
        path for path in PACKAGE.rglob("*.py") if not path.name.startswith("__") and "migrations" not in path.parts
    )
    assert told == {module.relative_to(PACKAGE).as_posix(): first_line(module) for module in modules}

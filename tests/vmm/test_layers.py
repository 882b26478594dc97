"""Who knows whom: the imports of `vmm` point one way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import vmm

PACKAGE = Path(vmm.__file__).parent

# From the bottom up. A part knows those of its own layer and of the layers below, also in what
# only type checkers read and in what is imported only when it is needed.
LAYERS = (
    {"arch", "errors", "host", "lines", "value"},
    {"bus", "memory"},
    {"backends"},
    {"devices"},
    {"console", "hypercall"},
    {"boards", "boot", "images"},
    {"machine", "service", "trace"},
    {"__init__"},
    {"testing"},
    {"cli"},
    {"__main__"},
)
# Besides, parts that only the machine brings together.
STRANGERS = {("devices", "backends"), ("hypercall", "backends"), ("testing", "cli")}

HEIGHT = {part: height for height, parts in enumerate(LAYERS) for part in parts}


def imports(source: str) -> Iterator[str]:
    """Yield the names of our modules that ``source`` imports anywhere, and names out of `vmm`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("vmm"))
        elif isinstance(node, ast.ImportFrom) and node.module == "vmm":
            yield from (f"vmm.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vmm."):
            yield str(node.module)


def part_of(module: str) -> str:
    """Return which part of the package a module belongs to; names of `vmm` itself are its own."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in HEIGHT else "__init__"


def test_every_part_has_its_layer() -> None:
    parts = {path.stem for path in PACKAGE.glob("*.py")}
    parts |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert parts == set(HEIGHT)


def test_imports_point_down() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        own = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for module in imports(path.read_text()):
            part = part_of(module)
            if HEIGHT[part] > HEIGHT[own] or (own, part) in STRANGERS:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {module}")
    assert wrong == []


def test_imports_of_all_kinds_are_seen() -> None:
    source = """
import vmm.bus
if TYPE_CHECKING:
    from vmm.backends.api import Vcpu
def later():
    from vmm import Machine, arch
    import os
"""
    assert set(imports(source)) == {"vmm.bus", "vmm.backends.api", "vmm.Machine", "vmm.arch"}
    assert part_of("vmm.Machine") == "__init__"
    assert part_of("vmm.backends.api") == "backends"

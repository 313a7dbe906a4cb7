"""The house rules that no linter knows: short files, short functions, a docstring on everything public."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src" / "meshwright"
FILES = sorted(SRC.rglob("*.py"))
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


def ids(path: Path) -> str:
    return str(path.relative_to(SRC))


def body_lines(function: Function) -> int:
    """Lines of a function from its ``def`` to its end, its docstring not counted."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return lines - ((first.end_lineno or 0) - first.lineno + 1) if documented else lines


def public_definitions(tree: ast.Module | ast.ClassDef) -> list[Definition]:
    """Public functions and classes of a module, and the public methods of its public classes."""
    found: list[Definition] = []
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            found.append(node)
            if isinstance(node, ast.ClassDef):
                found += public_definitions(node)
    return found


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_a_file_is_one_concept_of_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_a_function_has_at_most_60_lines(path: Path) -> None:
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, Function)]
    too_long = {f.name: body_lines(f) for f in functions if body_lines(f) > MAX_FUNCTION_LINES}
    assert not too_long


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_every_public_name_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text())
    bare = [node.name for node in public_definitions(tree) if not ast.get_docstring(node)]
    assert ast.get_docstring(tree), "the module itself"
    assert not bare


def is_compiled(function: Function) -> bool:
    return any(word in ast.unparse(decorator) for word in ("jit", "kernel") for decorator in function.decorator_list)


def is_annotated(function: Function) -> bool:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return all(a.annotation is not None for a in arguments if a.arg not in ("self", "cls"))


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_every_public_function_is_annotated(path: Path) -> None:
    """Kernels are excepted: numba infers their types, and their docstrings give the shapes."""
    functions = [node for node in public_definitions(ast.parse(path.read_text())) if isinstance(node, Function)]
    bare = [f.name for f in functions if not is_compiled(f) and not (is_annotated(f) and f.returns is not None)]
    assert bare == []


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_annotations_are_lazy(path: Path) -> None:
    """``from __future__ import annotations`` wherever there is more than a docstring."""
    tree = ast.parse(path.read_text())
    if len(tree.body) > 1:
        assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)

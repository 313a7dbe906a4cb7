"""Writes what the pages can take from the code: verbs, exit codes, error reasons, findings, limits, engine options.

`make docs` runs it; tests/project/test_docs.py fails where a page is behind the code. A page marks the place with
``<!-- generated: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

DOCS = Path(__file__).resolve().parent
SRC = DOCS.parent / "src" / "meshwright"
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def verbs() -> str:
    """Every verb with its arguments and options."""
    from meshwright.cli.main import VERBS, load_verb

    sections: list[str] = []
    for name in VERBS:
        command = load_verb(name)
        usage = " ".join(
            [
                f"meshwright {name}",
                *(
                    f"[{p.name.upper()}]" if not p.required else p.name.upper()
                    for p in command.params
                    if p.param_type_name == "argument"
                ),
            ]
        )
        sections += [f"## `{name}`\n", (command.help or "").strip() + "\n", f"```text\n{usage} [OPTIONS]\n```\n"]
        sections.append(table(("option", "meaning"), [row for p in command.params if (row := _parameter(p))]))
    return "\n".join(sections)


def _parameter(parameter: object) -> tuple[str, str] | None:
    names = ", ".join(f"`{word}`" for word in getattr(parameter, "opts", []))
    if getattr(parameter, "param_type_name", "") == "argument":
        names = f"`{str(getattr(parameter, 'name', '')).upper()}`"
    if names == "`--help`":
        return None
    meaning = getattr(parameter, "help", "") or ""
    default = getattr(parameter, "default", None)
    plain = default not in (None, False, (), "") and isinstance(default, (int, float, str))
    return names, meaning + (f" Default: `{default}`." if plain and "Default" not in meaning else "")


def exits() -> str:
    """The exit codes."""
    from meshwright.cli.exits import MEANINGS

    return table(("exit code", "meaning"), [(f"`{code}`", text) for code, text in MEANINGS.items()])


def codes() -> str:
    """The error codes with the class that carries each."""
    rows = [(f"`{kind.code}`", f"`{kind.__name__}`", (kind.__doc__ or "").splitlines()[0]) for kind in error_classes()]
    return table(("code", "class", "meaning"), rows)


def error_classes() -> list[type[Exception]]:
    """The whole error tree, root first."""
    from meshwright.errors import MeshwrightError

    found = [MeshwrightError]
    for kind in found:
        found += kind.__subclasses__()
    return found


def reasons() -> str:
    """Every ``reason`` that an error can carry, with its message and what to do about it."""
    rows = {(f"`{r}`", f"`{code}`", message, remedy) for r, code, message, remedy in error_reasons()}
    return table(("reason", "code", "message", "what to do"), sorted(rows))


def findings() -> str:
    """Every finding about an input, with its message and remedy."""
    rows = sorted({(f"`{code}`", message, remedy) for code, message, remedy in finding_codes()})
    return table(("finding", "message", "what to do"), rows)


def limits() -> str:
    """The limits of an input and their defaults."""
    import dataclasses

    from meshwright.capture.limits import Limits

    text = ast.parse((SRC / "capture" / "limits.py").read_text())
    notes = {name: note for node in ast.walk(text) if isinstance(node, ast.ClassDef) for name, note in _notes(node)}
    rows = [
        (f"`{f.name}`", f"{f.default:,}" if isinstance(f.default, int) else str(f.default), notes.get(f.name, ""))
        for f in dataclasses.fields(Limits)
    ]
    return table(("limit", "default", "meaning"), rows)


def engines() -> str:
    """The options of the engines that are in this version."""
    from meshwright.engines.protocol import describe_options
    from meshwright.engines.registry import availability, engine_names, find_engine

    sections: list[str] = []
    for name in engine_names():
        if availability(name).ok:
            infos = describe_options(find_engine(name).options_type)
            rows = [(f"`{i.name}`", str(i.default), _range(i.minimum, i.maximum), i.help) for i in infos]
            sections += [f"### `{name}`\n", table(("option", "default", "range", "meaning"), rows)]
    return "\n".join(sections)


def _range(low: float | None, high: float | None) -> str:
    return " to ".join(f"{x:,}" for x in (low, high) if x is not None)


def _notes(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, after in zip(node.body, node.body[1:], strict=False):
        documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and documented:
            yield field.target.id, str(after.value.value)  # type: ignore[attr-defined]


# Reading our own sources.


def calls() -> Iterator[tuple[ast.Call, str, ast.AST]]:
    """Every call in src with the name of what is called and the function around it."""
    for path in sorted(SRC.rglob("*.py")):
        tree = ast.parse(path.read_text())
        scopes = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))] or [tree]
        for scope in scopes:
            for node in ast.walk(scope):
                if isinstance(node, ast.Call):
                    yield node, ast.unparse(node.func).rpartition(".")[2], scope


def error_reasons() -> Iterator[tuple[str, str, str, str]]:
    """(reason, code, message, suggestion) of every error that is raised with a literal reason."""
    by_name = {kind.__name__: kind.code for kind in error_classes()}
    for call, name, scope in calls():
        given = {word.arg: word.value for word in call.keywords}
        reason = given.get("reason")
        if isinstance(reason, ast.Constant) and isinstance(reason.value, str):
            message = words(call.args[0], scope) if call.args else ""
            suggestion = words(given["suggestion"], scope) if "suggestion" in given else ""
            yield reason.value, by_name.get(name, "VALIDATION_FAILED"), message, suggestion


def finding_codes() -> Iterator[tuple[str, str, str]]:
    """(code, message, remedy) of every finding with a literal code."""
    for call, name, scope in calls():
        given = {word.arg: word.value for word in call.keywords}
        parts = [*call.args[:3], *[None] * (3 - len(call.args))]
        code, message, remedy = (
            given.get(key, part) for key, part in zip(("code", "message", "remedy"), parts, strict=True)
        )
        if name.lower().endswith("finding") and isinstance(code, ast.Constant) and isinstance(code.value, str):
            yield code.value, words(message, scope), words(remedy, scope)


def words(node: ast.AST | None, scope: ast.AST) -> str:
    """The text of a string, f-string or variable that holds one; what varies is shown as an ellipsis."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(words(part, scope) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return words(node.left, scope) + words(node.right, scope)
    if isinstance(node, ast.Name):
        for other in ast.walk(scope):
            targets = other.targets if isinstance(other, ast.Assign) else []
            if any(isinstance(t, ast.Name) and t.id == node.id for t in targets):
                return words(other.value, scope)  # type: ignore[attr-defined]
    return "" if node is None else "…"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |\n" for row in lines
    )


BLOCKS: dict[str, Callable[[], str]] = {
    "verbs": verbs, "exits": exits, "codes": codes, "reasons": reasons, "findings": findings, "limits": limits,
    "engines": engines,
}  # fmt: skip


def renewed(page: Path) -> str:
    """The page with its generated blocks written anew."""
    return BLOCK.sub(lambda m: m[1] + "\n" + BLOCKS[m[2]]() + "\n" + m[3], page.read_text())


def main() -> int:
    """Write all pages; with ``--check`` only say which are behind, and fail."""
    behind = [page for page in sorted(DOCS.glob("*.md")) if renewed(page) != page.read_text()]
    for page in behind:
        if "--check" not in sys.argv:
            page.write_text(renewed(page))
        print(("behind the code: " if "--check" in sys.argv else "wrote ") + page.name)
    return int("--check" in sys.argv and bool(behind))


if __name__ == "__main__":
    sys.exit(main())

"""Writes what the pages can take from the code: verbs, exits, errors, findings, limits, engine options, settings.

`make docs` runs it; tests/project/test_docs.py fails where a page is behind the code. A page marks the place with
``<!-- generated: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
SRC = DOCS.parent / "src" / "meshwright"
ELLIPSIS = "…"
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def verbs() -> str:
    """Every verb with its arguments and options; the actions of a group (`jobs list`) one by one."""
    from meshwright.cli.main import VERBS, load_verb

    sections: list[str] = []
    for name in VERBS:
        command = load_verb(name)
        sections += [f"## `{name}`\n", (command.help or "").strip() + "\n"]
        actions = getattr(command, "commands", None)
        if actions is None:
            sections += _usage(name, command)
        for action in (actions or {}).values():
            sections += [f"### `{name} {action.name}`\n", (action.help or "").strip() + "\n"]
            sections += _usage(f"{name} {action.name}", action)
    return "\n".join(sections)


def _usage(name: str, command: Any) -> list[str]:
    arguments = [
        p.name.upper() if p.required else f"[{p.name.upper()}]"
        for p in command.params
        if p.param_type_name == "argument"
    ]
    usage = " ".join([f"meshwright {name}", *arguments])
    rows = [row for p in command.params if (row := _parameter(p))]
    return [f"```text\n{usage} [OPTIONS]\n```\n", table(("option", "meaning"), rows)]


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
    """The whole error tree, root first; kinds that a part of the service makes for its own use are left out."""
    from meshwright.errors import MeshwrightError

    found = [MeshwrightError]
    for kind in found:
        found += [kind for kind in kind.__subclasses__() if kind.__module__ == MeshwrightError.__module__]
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


def settings() -> str:
    """Every setting of the service, from its own class."""
    from meshwright.service.settings import Settings

    rows: list[tuple[str, ...]] = []
    for name, field in Settings.model_fields.items():
        default = field.default
        if hasattr(default, "get_secret_value"):
            default = default.get_secret_value()
        shown = (
            f"`{default:,}`" if isinstance(default, int | float) and not isinstance(default, bool) else f"`{default}`"
        )
        rows.append(
            (f"`MESHWRIGHT_{name.upper()}`", shown if default not in ("", None) else "", field.description or "")
        )
    return table(("variable", "default", "meaning"), rows)


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

Names = dict[str, str]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Site:
    """A call in src, the function around it, and what the parameters of that function stand for."""

    call: ast.Call
    scope: ast.AST
    names: Names

    @property
    def name(self) -> str:
        """What is called."""
        return ast.unparse(self.call.func).rpartition(".")[2]

    def argument(self, key: str, position: int) -> ast.AST | None:
        """An argument by keyword or position."""
        given = {word.arg: word.value for word in self.call.keywords}
        return given.get(key, self.call.args[position] if position < len(self.call.args) else None)

    def text(self, key: str, position: int = 99) -> str:
        """An argument in words."""
        return words(self.argument(key, position), self.scope, self.names)


@functools.cache
def sites() -> tuple[Site, ...]:
    """Every call in src; a call of a small function that passes its parameters on is followed into it, once."""
    return tuple(_sites())


def _sites() -> Iterator[Site]:
    for path in sorted(SRC.rglob("*.py")):
        tree = ast.parse(path.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
        by_name = {function.name: function for function in functions}
        for scope in functions or [tree]:
            for call in (node for node in ast.walk(scope) if isinstance(node, ast.Call)):
                site = Site(call, scope, {})
                yield site
                inner = by_name.get(site.name)
                if inner is not None and inner is not scope:
                    passed = _passed(site, inner)
                    yield from (Site(node, inner, passed) for node in ast.walk(inner) if isinstance(node, ast.Call))


def _passed(site: Site, inner: Function) -> Names:
    names = [argument.arg for argument in (*inner.args.args, *inner.args.kwonlyargs) if argument.arg != "self"]
    defaults = dict(zip(reversed(names), reversed(inner.args.defaults), strict=False))
    found = {name: site.argument(name, i) or defaults.get(name) for i, name in enumerate(names)}
    return {name: words(node, site.scope, {}) for name, node in found.items() if node is not None}


def error_reasons() -> Iterator[tuple[str, str, str, str]]:
    """(reason, code, message, suggestion) of every error that is raised with a reason that can be read off."""
    by_name = _codes_by_class()
    for site in sites():
        if site.name in by_name:
            for reason in choices(site.argument("reason", 99), site):
                yield reason, by_name[site.name], site.text("message", 0), site.text("suggestion")


@functools.cache
def _codes_by_class() -> Names:
    """The code of each error class, those too that a part of the service derives for its own use."""
    found = {kind.__name__: kind.code for kind in error_classes()}
    for path in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name not in found:
                bases = [found[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in found]
                if bases:
                    found[node.name] = bases[0]
    return found


def finding_codes() -> Iterator[tuple[str, str, str]]:
    """(code, message, remedy) of every finding with a code that can be read off."""
    from meshwright.capture import notes

    for code, (message, remedy, _) in vars(notes)["_NOTES"].items():
        yield code, message.format(path=ELLIPSIS), remedy
    for site in sites():
        if site.name == "Finding":
            for code in choices(site.argument("code", 0), site):
                yield code, site.text("message", 1), site.text("remedy", 2)


def choices(node: ast.AST | None, site: Site) -> list[str]:
    """The codes that an expression can be: one, or both sides of a condition; none where it varies."""
    if isinstance(node, ast.IfExp):
        return choices(node.body, site) + choices(node.orelse, site)
    found = words(node, site.scope, site.names)
    return [found] if re.fullmatch(r"[a-z0-9_]+", found) else []


def words(node: ast.AST | None, scope: ast.AST, names: Names) -> str:
    """The text of a string, f-string or variable that holds one; what varies is shown as an ellipsis."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(words(part, scope, names) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return words(node.value, scope, names)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return words(node.left, scope, names) + words(node.right, scope, names)
    if isinstance(node, ast.Name):
        return names.get(node.id) or _assigned(node.id, scope, names)
    return "" if node is None else ELLIPSIS


def _assigned(name: str, scope: ast.AST, names: Names) -> str:
    for other in ast.walk(scope):
        if isinstance(other, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in other.targets):
            strings = isinstance(other.value, (ast.Constant, ast.JoinedStr))
            return words(other.value, scope, names) if strings else ELLIPSIS
    return ELLIPSIS


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |\n" for row in lines
    )


BLOCKS: dict[str, Callable[[], str]] = {
    "verbs": verbs, "exits": exits, "codes": codes, "reasons": reasons, "findings": findings, "limits": limits,
    "engines": engines, "settings": settings,
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

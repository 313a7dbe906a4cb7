"""The documentation cannot lag: what the code can say about itself is compared with what the pages say."""

from __future__ import annotations

import doctest
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("generate_docs", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_not_behind_the_code(page: Path, generate: ModuleType) -> None:
    assert generate.renewed(page) == page.read_text(), "run: make docs"


def commands() -> dict[str, Any]:
    """Every command by its words: the verbs, and the actions of those that are groups."""
    from meshwright.cli.main import VERBS, load_verb

    found: dict[str, Any] = {}
    for verb in VERBS:
        found[verb] = load_verb(verb)
        actions = getattr(found[verb], "commands", {})
        found.update({f"{verb} {action.name}": action for action in actions.values()})
    return found


def test_every_verb_and_option_is_documented() -> None:
    text = (DOCS / "cli.md").read_text()
    for words, command in commands().items():
        assert f"## `{words}`" in text
        for parameter in command.params:
            assert all(
                f"`{option}`" in text for option in parameter.opts if option.startswith("--") and option != "--help"
            )


def test_every_option_has_a_help_text() -> None:
    bare = [(words, p.name) for words, c in commands().items() for p in c.params if not getattr(p, "help", None)]
    assert bare == []


def test_every_setting_has_a_meaning() -> None:
    from meshwright.service.settings import Settings

    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_error_code_is_documented(generate: ModuleType) -> None:
    text = (DOCS / "errors.md").read_text()
    assert [kind.code for kind in generate.error_classes() if f"`{kind.code}`" not in text] == []


def test_every_reason_and_finding_in_the_sources_is_documented(generate: ModuleType) -> None:
    text = (DOCS / "errors.md").read_text()
    sources = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    written = re.findall(r'reason="([a-z0-9_]+)"', sources)
    found = [code for code, *_ in generate.finding_codes()]
    assert [code for code in (*written, *found) if f"`{code}`" not in text] == []


def test_every_exit_code_has_a_meaning() -> None:
    from meshwright.cli import exits

    used = {code for _, code in exits.BY_ERROR} | {exits.OK, exits.INTERNAL, exits.USAGE, exits.BELOW_WANTED}
    assert used == set(exits.MEANINGS)


def test_every_error_class_has_an_exit_code(generate: ModuleType) -> None:
    from meshwright.cli.exits import INTERNAL, exit_code

    root, *rest = generate.error_classes()
    assert exit_code(root("x")) == INTERNAL
    assert all(exit_code(kind("x")) != INTERNAL for kind in rest)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_three_lines_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """README's Python block, as written, on the shipped sample."""
    text = (ROOT / "README.md").read_text()
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert block is not None
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(block[1], {}, "README.md", "README.md", 0)
    outcome = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
    assert outcome.attempted >= 4
    assert outcome.failed == 0
    assert (tmp_path / "out" / "fusion" / "mesh.glb").stat().st_size > 10_000

"""T-15, T-70 to T-73: nothing in the sources runs code out of data or unpacks unseen."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "meshwright"
FILES = sorted(SRC.rglob("*.py"))
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
NEVER = {
    "eval", "exec", "os.system", "os.popen", "tempfile.mktemp", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
    "np.fromfile", "numpy.fromfile", "torch.hub.load", "pandas.read_pickle",
}  # fmt: skip
LAST = {"extractall", "extract", "unpack_archive"}  # as methods of anything: names in archives are not to be trusted
FORMS = {"form", "UploadFile", "File", "Form"}  # the framework's own reader of uploads has no limits of size


def complaints(tree: ast.AST) -> Iterator[str]:
    """What is forbidden in a module, each with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (f"{node.lineno}: import {n.name}" for n in names if n.name.split(".")[0] in MODULES)
            case ast.ImportFrom(module=module, names=names):
                if (module or "").split(".")[0] in MODULES:
                    yield f"{node.lineno}: from {module} import"
                if (module or "").split(".")[0] in ("fastapi", "starlette"):
                    yield from (f"{node.lineno}: import {n.name}" for n in names if n.name in FORMS)
            case ast.Call():
                yield from (f"{node.lineno}: {what}" for what in forbidden_call(node))


def forbidden_call(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in NEVER or (isinstance(call.func, ast.Attribute) and call.func.attr in LAST):
        yield name
    if name in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
        yield f"{name} without allow_pickle=False"
    if name == "torch.load" and (given.get("weights_only") != "True" or "pickle_module" in given):
        yield f"{name} without weights_only=True"
    if given.get("shell", "False") != "False" or given.get("trust_remote_code", "False") != "False":
        yield f"{name} with shell or remote code"
    if name in ("request.form", "self.request.form"):
        yield name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_no_source_file_runs_data_as_code_or_unpacks_unseen(path: Path) -> None:
    assert list(complaints(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load(p)",
        "import torch\ntorch.load(p, weights_only=False)",
        "import torch\ntorch.load(p, weights_only=True, pickle_module=x)",
        "import numpy as np\nnp.load(p)",
        "import numpy as np\nnp.load(p, allow_pickle=True)",
        "import yaml\nyaml.load(x, Loader=yaml.Loader)",
        "archive.extractall(folder)",
        "import shutil\nshutil.unpack_archive(a, b)",
        "subprocess.run(x, shell=True)",
        "eval(x)",
        "AutoModel.from_pretrained(x, trust_remote_code=True)",
        "from fastapi import UploadFile",
        "await request.form()",
    ],
)
def test_the_rule_sees_what_it_forbids(source: str) -> None:
    assert list(complaints(ast.parse(source)))


def test_what_is_said_on_purpose_passes() -> None:
    source = "np.load(p, allow_pickle=False); torch.load(p, weights_only=True); model.eval(); re.compile(x)"
    assert list(complaints(ast.parse(source))) == []


def test_every_locked_file_has_a_hash_and_comes_from_the_public_index() -> None:
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    remote = [package for package in locked if "editable" not in package["source"]]
    assert len(remote) > 100
    for package in remote:
        assert package["source"] == {"registry": "https://pypi.org/simple"}, package["name"]
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files, package["name"]
        assert all(file["hash"].startswith("sha256:") for file in files), package["name"]

"""``meshwright keys``, as an operator uses it."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from meshwright.cli.main import run
from meshwright.service.auth.keys import KeyBook
from meshwright.service.auth.lookup import KeyLookup
from meshwright.service.auth.principal import Principal
from meshwright.service.db import Database
from meshwright.service.settings import Settings

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MESHWRIGHT_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def said(words: list[str], capsys: Captured) -> dict[str, Any]:
    assert run(["keys", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def who(key: str, data: Path) -> Principal | None:
    settings = Settings(data_dir=data, _env_file=None)
    with closing(Database(settings.database)) as database:
        return KeyLookup(KeyBook(database, settings)).authenticate(key)


def test_a_key_is_made_shown_once_listed_rotated_and_revoked(data: Path, capsys: Captured) -> None:
    made = said(["create", "--tenant", "acme", "--scope", "read", "--label", "ci", "--days", "90"], capsys)
    caller = who(made["key"], data)
    assert caller is not None
    assert (caller.tenant, [str(scope) for scope in caller.scopes]) == ("acme", ["read"])
    listed = said(["list"], capsys)
    assert [key["id"] for key in listed["keys"]] == [made["id"]]
    assert made["key"] not in json.dumps(listed)
    fresh = said(["rotate", made["id"], "--overlap-hours", "1"], capsys)
    assert who(made["key"], data) is not None
    assert who(fresh["key"], data) is not None
    assert said(["revoke", made["id"]], capsys)["revoked_at"] is not None
    assert who(made["key"], data) is None
    assert said(["list", "--tenant", "nobody"], capsys) == {"keys": []}


def test_for_a_person_the_key_alone_is_on_stdout(data: Path, capsys: Captured) -> None:
    assert run(["keys", "create"]) == 0
    out, err = capsys.readouterr()
    assert who(out.strip(), data) is not None
    assert out.strip() not in err
    assert run(["keys", "list"]) == 0
    assert out.strip() not in capsys.readouterr().out


def test_the_secret_of_webhooks_is_shown_and_stays(capsys: Captured) -> None:
    first = said(["webhook", "--tenant", "acme"], capsys)["secret"]
    assert first.startswith("whsec_")
    assert first == said(["webhook", "--tenant", "acme"], capsys)["secret"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["revoke", "0" * 16], 3),
        (["create", "--tenant", "a/b"], 3),
        (["create", "--scope", "root"], 2),
        (["create", "--days", "0"], 2),
        (["forget"], 2),
    ],
)
def test_mistakes_have_their_exit_codes(words: list[str], code: int, capsys: Captured) -> None:
    assert run(["keys", *words]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("MESHWRIGHT_PORT", "many")
    assert run(["keys", "list"]) == 3
    assert "MESHWRIGHT_PORT" in capsys.readouterr().err


def test_a_key_is_no_option_of_any_command() -> None:
    """What is on a command line can be seen by every user of the machine."""
    from meshwright.cli.main import load_verb

    for verb in ("jobs", "keys", "serve", "worker"):
        command = load_verb(verb)
        for action in (command, *getattr(command, "commands", {}).values()):
            options = {option for parameter in action.params for option in parameter.opts}
            assert options.isdisjoint({"--key", "--api-key", "--token", "--secret", "--password"})

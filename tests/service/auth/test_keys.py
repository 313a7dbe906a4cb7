"""Keys: what is stored opens nothing, what is revoked closes at once, what is rotated overlaps."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime, timedelta

import pytest

from meshwright.errors import InputError
from meshwright.service.auth.keys import KeyBook, check_exposure
from meshwright.service.auth.lookup import MEMORY_S, KeyLookup
from meshwright.service.auth.principal import Scope
from meshwright.service.auth.root import root_secret, webhook_secret
from meshwright.service.auth.token import SECRET_BYTES, matches, new_token, parse_token, token_hash
from meshwright.service.db import Database
from meshwright.service.settings import Settings


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Calendar:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def test_a_token_is_read_back_from_its_text() -> None:
    token = new_token()
    assert parse_token(token.reveal()) == token
    assert token.reveal().startswith(f"mw_{token.id}_")
    assert token.secret not in repr(token)


def test_a_secret_has_at_least_32_random_bytes() -> None:
    assert SECRET_BYTES >= 32
    assert len({new_token().secret for _ in range(100)}) == 100


@pytest.mark.parametrize("text", ["", "mw_", "mw_1_2", "Bearer x", "mw_0123456789abcdef_short", "x" * 10_000, "mw_é_é"])
def test_what_is_no_token_is_none(text: str) -> None:
    assert parse_token(text) is None


def test_a_hash_is_keyed_by_the_root_and_bound_to_the_id() -> None:
    token, other = new_token(), new_token()
    stored = token_hash(token, b"root")
    assert matches(token, b"root", stored)
    assert not matches(token, b"other root", stored)
    assert not matches(other, b"root", stored)
    assert token.secret not in stored


def test_a_key_opens_what_it_was_made_for(keys: KeyBook) -> None:
    info, token = keys.create(tenant="acme", scopes=[Scope.READ], label="ci")
    caller = KeyLookup(keys).authenticate(token.reveal())
    assert caller is not None
    assert (caller.tenant, caller.key_id) == ("acme", info.id)
    assert caller.may(Scope.READ)
    assert not caller.may(Scope.SUBMIT)


def test_admin_includes_the_other_scopes(keys: KeyBook) -> None:
    _, token = keys.create(scopes=[Scope.ADMIN])
    caller = KeyLookup(keys).authenticate(token.reveal())
    assert caller is not None
    assert all(caller.may(scope) for scope in Scope)


def test_a_wrong_secret_under_a_real_id_opens_nothing(keys: KeyBook) -> None:
    info, _ = keys.create()
    forged = f"mw_{info.id}_{new_token().secret}"
    assert KeyLookup(keys).authenticate(forged) is None
    assert keys.list()[0].last_used_at is None


def test_the_database_holds_no_secret(keys: KeyBook, database: Database) -> None:
    """Canary: after use, the secret is in no byte of the database's files."""
    _, token = keys.create(label="canary")
    assert KeyLookup(keys).authenticate(token.reveal()) is not None
    database.close()
    path = keys.settings.data_dir / "meshwright.db"
    with sqlite3.connect(path) as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    assert token.secret not in dump
    files = b"".join(file.read_bytes() for file in path.parent.iterdir() if file.is_file())
    assert token.secret.encode() not in files


def test_a_revoked_key_is_closed_within_five_seconds_in_every_process(keys: KeyBook) -> None:
    assert MEMORY_S <= 5
    clock = Clock()
    info, token = keys.create()
    elsewhere = KeyLookup(keys, clock=clock)
    assert elsewhere.authenticate(token.reveal()) is not None
    keys.revoke(info.id)
    clock.now += MEMORY_S + 0.01
    assert elsewhere.authenticate(token.reveal()) is None


def test_a_rotated_key_overlaps_with_its_follower_and_then_ends(settings: Settings, database: Database) -> None:
    calendar, clock = Calendar(), Clock()
    dated = Database(settings.database, clock=calendar)
    keys = KeyBook(dated, settings)
    lookup = KeyLookup(keys, clock=clock)
    old, old_token = keys.create(tenant="acme", scopes=[Scope.READ], label="ci")
    new, new_one = keys.rotate(old.id, overlap=timedelta(hours=1))
    assert (new.tenant, new.scopes, new.label) == (old.tenant, old.scopes, old.label)
    assert lookup.authenticate(old_token.reveal()) is not None
    assert lookup.authenticate(new_one.reveal()) is not None
    calendar.now += timedelta(hours=1, seconds=1)
    clock.now += MEMORY_S + 1
    assert lookup.authenticate(old_token.reveal()) is None
    assert lookup.authenticate(new_one.reveal()) is not None
    dated.close()


def test_a_key_can_be_rotated_once(keys: KeyBook) -> None:
    info, _ = keys.create()
    keys.rotate(info.id)
    with pytest.raises(InputError) as caught:
        keys.rotate(info.id)
    assert caught.value.reason == "key_revoked"


@pytest.mark.parametrize("verb", ["rotate", "revoke"])
def test_an_unknown_key_is_an_error(keys: KeyBook, verb: str) -> None:
    with pytest.raises(InputError) as caught:
        getattr(keys, verb)("0" * 16)
    assert caught.value.reason == "key_unknown"


def test_a_key_with_a_lifetime_ends(settings: Settings, database: Database) -> None:
    calendar = Calendar()
    dated = Database(settings.database, clock=calendar)
    keys = KeyBook(dated, settings)
    _, token = keys.create(lifetime=timedelta(days=1))
    assert KeyLookup(keys).authenticate(token.reveal()) is not None
    assert keys.has_active()
    calendar.now += timedelta(days=1)
    assert KeyLookup(keys).authenticate(token.reveal()) is None
    assert not keys.has_active()
    dated.close()


def test_the_last_use_is_noted_at_most_once_a_minute(settings: Settings, database: Database) -> None:
    calendar, clock = Calendar(), Clock()
    dated = Database(settings.database, clock=calendar)
    keys = KeyBook(dated, settings)
    lookup = KeyLookup(keys, clock=clock)
    _, token = keys.create()
    seen: list[datetime | None] = []
    for _ in range(4):
        assert lookup.authenticate(token.reveal()) is not None
        seen.append(keys.list()[0].last_used_at)
        calendar.now += timedelta(seconds=31)
        clock.now += 31
    first = datetime(2026, 1, 1, tzinfo=UTC)
    assert seen == [first, first, first + timedelta(seconds=62), first + timedelta(seconds=62)]
    dated.close()


def test_requests_are_answered_from_memory(keys: KeyBook) -> None:
    _, token = keys.create()
    lookup = KeyLookup(keys)
    assert not lookup.knows(token.reveal())
    lookup.authenticate(token.reveal())
    keys.database.close()
    keys.find = lambda _: pytest.fail("the database was asked")  # type: ignore[method-assign]
    assert lookup.knows(token.reveal())
    assert lookup.authenticate(token.reveal()) is not None


def test_processes_that_start_at_once_agree_on_one_root(settings: Settings, database: Database) -> None:
    found: set[bytes] = set()
    threads = [threading.Thread(target=lambda: found.add(root_secret(database, settings))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1


def test_a_root_from_the_settings_is_not_in_the_database(settings: Settings, database: Database) -> None:
    own = settings.model_copy(update={"key_secret": type(settings.key_secret)("canary-root")})
    keys = KeyBook(database, own)
    _, token = keys.create()
    assert KeyLookup(keys).authenticate(token.reveal()) is not None
    assert KeyLookup(KeyBook(database, settings)).authenticate(token.reveal()) is None
    assert b"canary-root" not in (settings.data_dir / "meshwright.db").read_bytes()


def test_each_tenant_has_a_webhook_secret_of_its_own(settings: Settings) -> None:
    one, two = (webhook_secret(b"root", settings, tenant) for tenant in ("one", "two"))
    assert one != two
    assert one == webhook_secret(b"root", settings, "one")
    assert one.startswith("whsec_")


@pytest.mark.parametrize("given", ["abc", "whsec_=", "whsec_dG9vIHNob3J0", "whsec_!!!!"])
def test_a_webhook_secret_of_another_form_is_refused(settings: Settings, given: str) -> None:
    own = settings.model_copy(update={"webhook_secret": type(settings.webhook_secret)(given)})
    with pytest.raises(InputError) as caught:
        webhook_secret(b"root", own, "local")
    assert caught.value.reason == "webhook_secret"
    assert given not in caught.value.message + caught.value.suggestion


@pytest.mark.parametrize("tenant", ["", "a" * 65, "a/b", "a b", "é"])
def test_a_tenants_name_is_plain(keys: KeyBook, tenant: str) -> None:
    with pytest.raises(InputError) as caught:
        keys.create(tenant=tenant)
    assert caught.value.reason == "tenant_name"


def test_beyond_loopback_a_service_without_keys_is_refused(settings: Settings, keys: KeyBook) -> None:
    exposed = settings.model_copy(update={"host": "0.0.0.0"})
    check_exposure(settings, keys)
    with pytest.raises(InputError) as caught:
        check_exposure(exposed, keys)
    assert caught.value.reason == "exposed_without_keys"
    check_exposure(exposed.model_copy(update={"allow_anonymous": True}), keys)
    info, _ = keys.create()
    check_exposure(exposed, keys)
    keys.revoke(info.id)
    with pytest.raises(InputError):
        check_exposure(exposed, keys)

"""``meshwright keys``: the API keys of a service, on the machine that runs it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from meshwright.cli.extras import extra, load_settings
from meshwright.cli.output import emit_json, stderr, stdout

if TYPE_CHECKING:
    from meshwright.service.auth.keys import KeyBook, KeyInfo
    from meshwright.service.auth.token import Token

keys = typer.Typer(
    name="keys",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Make, list, rotate and revoke the API keys of a service, and show what signs its webhooks.\n\n"
    "They are in the service's database: set MESHWRIGHT_DATA_DIR or MESHWRIGHT_DATABASE_URL as for `meshwright serve`."
    "\n\nExample: `meshwright keys create --label ci`",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Tenant = Annotated[str, typer.Option(help="Whose jobs the key sees: each tenant sees its own.")]
KeyId = Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it (no secret).")]


@keys.command()
def create(
    tenant: Tenant = "local",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read, submit or admin (all), repeatable. Without any: read and submit."),
    ] = None,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    days: Annotated[
        float | None, typer.Option(help="Days after which it ends; without, it does not.", min=0.01)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once.

    Example: `meshwright keys create --tenant acme --scope read --label dashboard --days 90`
    """
    with _book() as book:
        lifetime = timedelta(days=days) if days else None
        info, token = book.create(tenant=tenant, scopes=_scopes(scope), label=label, lifetime=lifetime)
        _show_new(info, token, as_json)


@keys.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None, as_json: AsJson = False
) -> None:
    """List the keys: without their secrets, which are stored nowhere.

    Example: `meshwright keys list --json`
    """
    with _book() as book:
        now = book.database.now()
        found = [(info, _state(info, info.is_active(now))) for info in book.list(tenant)]
    if as_json:
        emit_json({"keys": [_as_dict(info) | {"state": state} for info, state in found]})
        return
    table = Table(Column("id", no_wrap=True), "tenant", "scopes", "label", "state", "made", "last used")
    for info, state in found:
        used = f"{info.last_used_at:%Y-%m-%d %H:%M}" if info.last_used_at else "never"
        scopes = " ".join(sorted(info.scopes))
        table.add_row(info.id, info.tenant, scopes, info.label, state, f"{info.created_at:%Y-%m-%d}", used)
    stdout.print(table)


@keys.command()
def rotate(
    key_id: KeyId,
    overlap_hours: Annotated[float, typer.Option(help="Hours for which the old key still works.", min=0)] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Make a key in place of another, which works on for a while.

    Example: `meshwright keys rotate 3f2a90c1d4e5b677 --overlap-hours 48`
    """
    with _book() as book:
        info, token = book.rotate(key_id, timedelta(hours=overlap_hours))
        _show_new(info, token, as_json)


@keys.command()
def revoke(key_id: KeyId, as_json: AsJson = False) -> None:
    """Close a key for good; every process of the service knows within seconds.

    Example: `meshwright keys revoke 3f2a90c1d4e5b677`
    """
    with _book() as book:
        info = book.revoke(key_id)
    if as_json:
        emit_json(_as_dict(info))
    else:
        stdout.print(f"The key {info.id} is revoked.")


@keys.command()
def webhook(tenant: Tenant = "local", as_json: AsJson = False) -> None:
    """Show the secret that signs a tenant's webhooks (Standard Webhooks), for who receives them.

    Example: `meshwright keys webhook --tenant acme`
    """
    with _book() as book:
        from meshwright.service.auth.root import webhook_secret

        secret = webhook_secret(book.root, book.settings, tenant)
    if as_json:
        emit_json({"tenant": tenant, "secret": secret})
    else:
        typer.echo(secret)


@contextmanager
def _book() -> Generator[KeyBook]:
    with extra("service"):
        from meshwright.service.auth.keys import KeyBook
        from meshwright.service.db import Database, upgrade

    settings = load_settings()
    with closing(Database(settings.database)) as database:
        upgrade(database)
        yield KeyBook(database, settings)


def _scopes(words: list[str] | None) -> Any:
    from meshwright.service.auth.principal import DEFAULT_SCOPES, Scope

    try:
        return {Scope(word) for word in words} if words else DEFAULT_SCOPES
    except ValueError:
        raise typer.BadParameter("--scope takes read, submit or admin.") from None


def _show_new(info: KeyInfo, token: Token, as_json: bool) -> None:
    if as_json:
        emit_json(_as_dict(info) | {"key": token.reveal()})
        return
    stderr.print(f"Key {info.id} of tenant {info.tenant} ({', '.join(sorted(info.scopes))}). It is shown only now:")
    typer.echo(token.reveal())


def _state(info: KeyInfo, active: bool) -> str:
    if info.revoked_at:
        return "revoked"
    if not active:
        return "expired"
    if info.expires_at:
        return f"active until {info.expires_at:%Y-%m-%d %H:%M}"
    return "active"


def _as_dict(info: KeyInfo) -> dict[str, Any]:
    times = ("created_at", "expires_at", "revoked_at", "last_used_at")
    plain = {name: value.isoformat() if (value := getattr(info, name)) else None for name in times}
    scopes = sorted(info.scopes)
    named = {"id": info.id, "tenant": info.tenant, "label": info.label, "scopes": scopes}
    return named | plain | {"replaced_by": info.replaced_by}

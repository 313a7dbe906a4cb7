"""Who calls: a tenant with scopes, known by its key, or anyone on a service that runs open."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from meshwright.errors import Forbidden
from meshwright.service.jobs.job import LOCAL


class Scope(StrEnum):
    """What a key may do. ``admin`` includes the other two."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)
DEFAULT_SCOPES = frozenset({Scope.READ, Scope.SUBMIT})


@dataclass(frozen=True)
class Principal:
    """The caller of one request. Jobs belong to ``tenant``; ``bucket`` is what its rate is counted by."""

    tenant: str
    scopes: frozenset[Scope]
    bucket: str
    key_id: str | None = None

    def may(self, scope: Scope) -> bool:
        """Whether the caller has this scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def demand(self, scope: Scope) -> None:
        """Raise `Forbidden` unless the caller has this scope."""
        if not self.may(scope):
            raise Forbidden(
                f'This key lacks the scope "{scope}".',
                suggestion=f"Make a key with it: meshwright keys create --scope {scope}.",
                reason="scope_missing",
                scope=str(scope),
            )


def anonymous(address: str, *, is_local: bool) -> Principal:
    """Whoever calls a service that runs open: the local tenant, counted by its address.

    Who calls from elsewhere, where that is allowed, is no administrator.
    """
    return Principal(LOCAL, ALL_SCOPES if is_local else DEFAULT_SCOPES, bucket=f"address:{address}")

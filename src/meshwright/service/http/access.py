"""Who may call a route: ``Depends(require(Scope.READ))`` gives the `Principal`, or ends the request.

401 UNAUTHORIZED without a valid key, 403 FORBIDDEN without the scope (or from a foreign web page, where the service
runs open), 429 RATE_LIMITED above the rate. A key comes as ``Authorization: Bearer`` or as ``X-API-Key``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Request, Response, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from meshwright.errors import Forbidden, Unauthorized
from meshwright.service.auth.keys import KeyBook
from meshwright.service.auth.lookup import KeyLookup
from meshwright.service.auth.principal import Principal, Scope, anonymous
from meshwright.service.auth.rates import Rates, Standing, refuse
from meshwright.service.db import Database
from meshwright.service.settings import Settings

Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))]
HeaderKey = Annotated[str | None, Security(APIKeyHeader(name="X-API-Key", auto_error=False))]
Dependency = Callable[[Request, Response, Bearer, HeaderKey], Awaitable[Principal]]


class Access:
    """What the dependency needs, made once by `create_app` and kept as ``app.state.access``."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.keys = KeyBook(database, settings)
        self.lookup = KeyLookup(self.keys)
        self.rates = Rates(settings.rate_per_minute)
        self.submissions = Rates(settings.submits_per_minute)
        self.strangers = Rates(settings.rate_per_minute)  # failed tries, by address

    async def identify(self, request: Request, key: str | None) -> Principal:
        """Who calls.

        Raises:
            Unauthorized: reasons ``key_missing`` and ``key_invalid``.
            Forbidden: reason ``foreign_page``.
            RateLimited: after too many failed tries from one address.
        """
        address = request.client.host if request.client else "unknown"
        if key is None and await self._is_open():
            if not self.settings.allow_anonymous:
                _refuse_foreign_pages(request, self.settings)
            return anonymous(address, is_local=self.settings.is_loopback)
        if key is not None:
            if self.lookup.knows(key):
                found = self.lookup.authenticate(key)
            else:
                _allow(self.strangers.peek(address), "requests without a valid key")
                found = await run_in_threadpool(self.lookup.authenticate, key)
            if found is not None:
                return found
        _allow(self.strangers.take(address), "requests without a valid key")
        raise _unauthorized(given=key is not None)

    def count(self, principal: Principal, *, submission: bool) -> Standing:
        """Count a request, and where it is one a submission.

        Raises:
            RateLimited: reason ``rate``.
        """
        standing = self.rates.take(principal.bucket)
        _allow(standing, "requests")
        if submission:
            _allow(self.submissions.take(principal.bucket), "submitted jobs")
        return standing

    async def _is_open(self) -> bool:
        if self.settings.allow_anonymous:
            return True
        if not self.settings.is_loopback:
            return False
        has_any = self.lookup.has_any() if self.lookup.knows_any else await run_in_threadpool(self.lookup.has_any)
        return not has_any


def require(scope: Scope | str, *, submission: bool = False) -> Dependency:
    """A dependency that lets through who has the scope; ``submission`` also counts it as a submitted job."""
    wanted = Scope(scope)

    async def principal(request: Request, response: Response, bearer: Bearer, header_key: HeaderKey) -> Principal:
        access: Access = request.app.state.access
        key = bearer.credentials if bearer is not None else header_key
        caller = await access.identify(request, key)
        standing = access.count(caller, submission=submission)
        caller.demand(wanted)
        request.state.principal = caller
        request.state.rate_headers = standing.headers()  # for routes that answer with a Response of their own
        response.headers.update(request.state.rate_headers)
        return caller

    return principal


def _allow(standing: Standing, what: str) -> None:
    if not standing.allowed:
        raise refuse(standing, what)


def _unauthorized(*, given: bool) -> Unauthorized:
    if given:
        return Unauthorized(
            "This key is not valid: it is unknown, revoked or expired.",
            suggestion="Ask the operator of the service for a key.",
            reason="key_invalid",
        )
    return Unauthorized(
        "This service needs an API key.",
        suggestion="Send it as Authorization: Bearer mw_..., or as X-API-Key.",
        reason="key_missing",
    )


def _refuse_foreign_pages(request: Request, settings: Settings) -> None:
    """Keep web pages of others from calling an open service through the browser of this machine's user.

    A page shows itself by the Origin that its browser sends; a name that was made to resolve to this machine shows
    itself by a Host with a dot that is neither an address nor ours.
    """
    host = _host_of(f"//{request.headers.get('host', '')}")
    own = _host_of(settings.public_url)
    origin = request.headers.get("origin")
    is_foreign = origin is not None and _host_of(origin) not in {host, own}
    if is_foreign or not (_is_local_name(host) or host == own):
        raise Forbidden(
            "This service runs open for its own machine, and the request came from a web page of another site.",
            suggestion="Call it as http://localhost, set MESHWRIGHT_PUBLIC_URL, or make a key: meshwright keys create.",
            reason="foreign_page",
        )


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return "invalid."


def _is_local_name(host: str) -> bool:
    if "." not in host or host.endswith(".localhost"):
        return True  # no public name is without a dot
    try:
        ip_address(host)
    except ValueError:
        return False
    return True

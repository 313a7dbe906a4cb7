"""Where a webhook may go: a public HTTPS address, checked when the job is made and again at every connection.

A name is resolved once. Every answer has to be allowed, and the connection goes to an address that was checked, with
the original host in TLS and in the Host header: a name that changes its answer between the two gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import httpx

from meshwright.errors import InputError
from meshwright.service.webhooks.addresses import is_public, is_site, parse_address

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

PORTS = (443, 8443)
MAX_URL = 2048


@dataclass(frozen=True)
class Target:
    """A URL that may be called, and the checked address to connect to."""

    url: httpx.URL
    address: str

    def request(self, client: httpx.AsyncClient, content: bytes, headers: dict[str, str]) -> httpx.Request:
        """A POST to the checked address that names the original host to the server and to TLS."""
        host = self.url.netloc.decode("ascii")
        return client.build_request(
            "POST",
            self.url.copy_with(host=self.address),
            content=content,
            headers={**headers, "Host": host},
            extensions={"sni_hostname": self.url.raw_host.decode("ascii")},
        )


def check_url(text: str, *, allow_private: bool = False) -> httpx.URL:
    """The URL, if its form allows a webhook: HTTPS on 443 or 8443, no user name; no look at the network is taken.

    With ``allow_private`` (development) plain HTTP and any port will do.

    Raises:
        InputError: reason ``webhook_url``.
    """
    if not text or len(text) > MAX_URL or not text.isprintable() or " " in text or "\\" in text:
        raise _bad_url("is empty, too long or holds characters that no URL has")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise _bad_url("cannot be read") from error
    if url.scheme not in (("https", "http") if allow_private else ("https",)):
        raise _bad_url("does not start with https://")
    if url.userinfo or "@" in url.netloc.decode("ascii"):
        raise _bad_url("holds a user name or password")
    if not url.host or url.host.endswith(".."):
        raise _bad_url("names no host")
    if not allow_private and (url.port or 443) not in PORTS:
        raise _bad_url(f"uses port {url.port}; {PORTS[0]} and {PORTS[1]} are allowed")
    literal = parse_address(url.host)
    if literal is not None:
        _check_addresses([url.host], allow_private=allow_private)
    return url.copy_with(fragment=None)


async def check_target(text: str, *, allow_private: bool = False, resolver: Resolver | None = None) -> Target:
    """Resolve a webhook's URL once and choose an address; every answer has to be allowed.

    Raises:
        InputError: reasons ``webhook_url``, ``webhook_address`` and ``webhook_unresolved``.
    """
    url = check_url(text, allow_private=allow_private)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        answers = list(await (resolver or resolve)(url.raw_host.decode("ascii"), port))
    except (OSError, UnicodeError) as error:
        raise _unresolved() from error
    if not answers:
        raise _unresolved()
    _check_addresses(answers, allow_private=allow_private)
    return Target(url, answers[0])


async def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host, by the system's resolver (which also reads ``127.1`` and ``0x7f.1`` as addresses)."""
    found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _check_addresses(answers: Sequence[str], *, allow_private: bool) -> None:
    for text in answers:
        address = parse_address(text)
        if address is None or not (is_public(address) or (allow_private and is_site(address))):
            raise InputError(
                "The webhook's host is not on the public internet.",
                suggestion="Use a public https:// URL, or set MESHWRIGHT_WEBHOOK_PRIVATE=true on your own network.",
                reason="webhook_address",
            )


def _bad_url(what: str) -> InputError:
    return InputError(
        f"The webhook's URL {what}.",
        suggestion="Use a URL like https://example.com/hook.",
        reason="webhook_url",
    )


def _unresolved() -> InputError:
    return InputError(
        "The webhook's host has no address.", suggestion="Check the host's name.", reason="webhook_unresolved"
    )

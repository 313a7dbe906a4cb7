"""What both clients set up in the same way: the address, the key, and how a call becomes a request."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import httpx

from meshwright.client.calls import Call
from meshwright.errors import InputError

DEFAULT_URL = "http://127.0.0.1:8000"
KEY_VARIABLE = "MESHWRIGHT_API_KEY"
TIMEOUT_S = 60.0  # of a single wait, not of a whole upload


def settings_for(url: str, key: str | None) -> dict[str, Any]:
    """Arguments of an httpx client. The key is the given one or that of the environment.

    Raises:
        InputError: reason ``url`` when it is no http(s) URL.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo:
        raise InputError("This is not the URL of a service.", suggestion=f"Give one like {DEFAULT_URL}.", reason="url")
    key = key or os.environ.get(KEY_VARIABLE)
    return {
        "base_url": parsed.copy_with(query=None, fragment=None),
        "headers": {"User-Agent": "meshwright-client", **({"Authorization": f"Bearer {key}"} if key else {})},
        "timeout": httpx.Timeout(TIMEOUT_S, connect=10.0),
        "follow_redirects": False,
    }


def request_arguments(call: Call, archive: BinaryIO | None) -> dict[str, Any]:
    """Arguments of ``build_request``. The archive is read from its start, each time the call is made."""
    arguments: dict[str, Any] = {"params": dict(call.params), "headers": dict(call.headers)}
    if call.form is not None and archive is not None:
        archive.seek(0)
        arguments["data"] = dict(call.form)
        arguments["files"] = {"archive": ("capture.zip", archive, "application/zip")}
    elif call.json is not None:
        arguments["json"] = call.json
    return arguments

"""Whether a Draco payload decodes, and in time: tried in a process of its own before anything here trusts it.

DracoPy reads counts from the payload and works through them: a damaged one can keep it busy for a minute, take all
memory or end the process. The child has a time limit by the payload's size, and as much memory as a sound mesh needs.
"""

from __future__ import annotations

import subprocess
import sys
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from typing import Any

from meshwright.errors import InvalidFileFormat
from meshwright.package.draco import EXTENSION

START_S = 3.0  # starting Python and importing DracoPy: 0.2 s on an idle core
SECONDS_PER_MB = 5.0  # sound payloads take about 0.3 s a megabyte
MAX_MEMORY = 4 * 2**30
_CHILD = f"""
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, ({MAX_MEMORY}, {MAX_MEMORY}))
except ImportError:  # Windows
    pass
import DracoPy
mesh = DracoPy.decode(sys.stdin.buffer.read())
print(mesh.faces.size, len(mesh.points))
"""


def check_draco(document: dict[str, Any], binary: bytes, name: str, resolve: Callable[[str], bytes]) -> None:
    """Decode every Draco primitive of a glTF document once, apart; compare its counts with its accessors'.

    ``binary`` is the GLB's chunk and ``resolve`` reads a buffer's file.

    Raises:
        InvalidFileFormat: reason ``draco_corrupt``, when a payload does not decode, not in time, or holds other
            counts than the document says.
    """
    for mesh in document.get("meshes", []):
        for primitive in mesh.get("primitives", []):
            entry = primitive.get("extensions", {}).get(EXTENSION)
            if entry is not None:
                accessors = document["accessors"]
                stated = (accessors[primitive["indices"]], accessors[primitive["attributes"]["POSITION"]])
                counts = decoded_counts(_payload(document, entry["bufferView"], binary, name, resolve), name)
                if counts != tuple(accessor["count"] for accessor in stated):
                    raise _corrupt(name, "holds another number of faces or vertices than its document says")


def decoded_counts(payload: bytes, name: str) -> tuple[int, int]:
    """Indices and vertices of a Draco payload, decoded in a process of its own."""
    limit = START_S + SECONDS_PER_MB * len(payload) / 1e6
    try:
        done = subprocess.run([sys.executable, "-c", _CHILD], input=payload, capture_output=True, timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise _corrupt(name, f"does not decode within {limit:.0f} s") from error
    words = done.stdout.split()
    if done.returncode != 0 or len(words) != 2:
        raise _corrupt(name, "does not decode")
    return int(words[0]), int(words[1])


def _payload(document: dict[str, Any], view: int, binary: bytes, name: str, resolve: Callable[[str], bytes]) -> bytes:
    """The bytes of a buffer view, wherever its buffer is."""
    entry = document["bufferViews"][view]
    uri = document["buffers"][entry.get("buffer", 0)].get("uri")
    if uri is None:
        data = binary
    elif uri.startswith("data:"):
        try:
            data = b64decode(uri.partition(",")[2])
        except Base64Error as error:
            raise _corrupt(name, "is not whole") from error
    else:
        data = resolve(uri)
    begin, length = entry.get("byteOffset", 0), entry["byteLength"]
    if not 0 <= begin <= begin + length <= len(data):
        raise _corrupt(name, "is cut off")
    return data[begin : begin + length]


def _corrupt(name: str, what: str) -> InvalidFileFormat:
    return InvalidFileFormat(
        f"The Draco data in {name} {what}.",
        suggestion="Copy or export the file again, or export it without compression.",
        reason="draco_corrupt",
    )

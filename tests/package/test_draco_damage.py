"""A damaged Draco payload is refused in time and with its own reason, whatever its bytes say."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from meshwright.errors import InvalidFileFormat
from meshwright.geometry.mesh import TexturedMesh
from meshwright.package import draco_check
from meshwright.package.container import pack_glb, unpack_glb
from meshwright.package.draco import EXTENSION, write_draco_glb
from meshwright.package.prepare import publishable
from meshwright.package.readback import load_mesh

Damage = tuple[int, bytes]
MAGIC, COUNTS = 0, 12  # offsets in a Draco payload: its magic word, and the counts of vertices and faces
DAMAGES = [
    (MAGIC, b"DRACULA"),
    (COUNTS, b"\xff\xff\xff\xff\x07\xff\xff\xff\xff\x07"),
    (COUNTS, b"\0\0\0\0"),
    (40, b"\xff" * 60),
]


@pytest.fixture(scope="module")
def sound(block: TexturedMesh) -> bytes:
    return write_draco_glb(publishable(block))


def damaged(data: bytes, offset: int, change: bytes) -> bytes:
    """The GLB with ``change`` written over its Draco payload at ``offset``."""
    document, binary = unpack_glb(data)
    primitive = document["meshes"][0]["primitives"][0]
    begin = document["bufferViews"][primitive["extensions"][EXTENSION]["bufferView"]]["byteOffset"] + offset
    return pack_glb(document, binary[:begin] + change + binary[begin + len(change) :])


def refused(path: Path, data: bytes) -> InvalidFileFormat:
    path.write_bytes(data)
    with pytest.raises(InvalidFileFormat) as caught:
        load_mesh(path)
    return caught.value


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_payload_is_refused_in_time(sound: bytes, damage: Damage, tmp_path: Path) -> None:
    began = time.monotonic()
    assert refused(tmp_path / "mesh.glb", damaged(sound, *damage)).reason == "draco_corrupt"
    assert time.monotonic() - began < 2 * draco_check.START_S


def test_a_payload_that_keeps_the_decoder_busy_is_given_up(
    sound: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(draco_check, "START_S", 0.001)
    error = refused(tmp_path / "mesh.glb", sound)
    assert error.reason == "draco_corrupt"
    assert "within" in error.message


def test_a_payload_of_other_counts_is_refused(sound: bytes, tmp_path: Path) -> None:
    document, binary = unpack_glb(sound)
    document["accessors"][document["meshes"][0]["primitives"][0]["indices"]]["count"] -= 3
    assert refused(tmp_path / "mesh.glb", pack_glb(document, binary)).reason == "draco_corrupt"

"""T-01 and T-04: an image with one wrong byte, and images made to cost time or memory."""

from __future__ import annotations

import io
import random
import resource
import struct
import time
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from capture.making import bare_png, chunk, png, rgb_pixels
from meshwright.capture.decode import decode_rgb
from meshwright.capture.gate import read_header
from meshwright.capture.limits import DEFAULT_LIMITS as LIMITS
from meshwright.errors import InputError

SEED = png(rgb_pixels())


def edges(data: bytes) -> list[int]:
    """Where the chunks of a PNG begin and where the last one ends."""
    found = [8]
    while found[-1] < len(data):
        found.append(found[-1] + 12 + int(struct.unpack(">I", data[found[-1] : found[-1] + 4])[0]))
    return found


def seconds(work: Callable[[], object]) -> float:
    """What it costs this process, at the best of three times."""
    found = []
    for _ in range(3):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def peak() -> int:
    """Bytes, since this process began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def refused(read: Callable[[], object]) -> None:
    with pytest.raises(InputError):
        read()


def test_a_png_cut_at_any_chunk_is_refused() -> None:
    for at in edges(SEED)[:-1]:
        for cut in (at, at + 4, at + 8, at + 9):
            with pytest.raises(InputError):
                decode_rgb(SEED[:cut], "i", LIMITS)


def test_a_png_with_one_wrong_byte_is_refused_or_the_same_picture() -> None:
    rng = random.Random(1)
    refused = 0
    for _ in range(500):
        at = rng.randrange(len(SEED))
        damaged = SEED[:at] + bytes([SEED[at] ^ rng.randint(1, 255)]) + SEED[at + 1 :]
        try:
            found = decode_rgb(damaged, "i", LIMITS).rgb
        except InputError:
            refused += 1
        else:
            np.testing.assert_array_equal(found, rgb_pixels())
    assert refused > 450


def with_extra(*chunks: bytes) -> bytes:
    """The picture with chunks between its header and its pixels."""
    head = edges(SEED)[1]
    return SEED[:head] + b"".join(chunks) + SEED[head:]


BOMB = zlib.compress(bytes(200 * 2**20), 9)
COSTLY = {
    "text that swells to 200 MiB": with_extra(chunk(b"zTXt", b"a\0\0" + BOMB)),
    "international text that swells": with_extra(chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB)),
    "a colour profile that swells": with_extra(chunk(b"iCCP", b"a\0\0" + BOMB)),
    "nine thousand chunks": with_extra(*[chunk(b"teXt", b"a\0b")] * 9000),
}


@pytest.mark.parametrize("name", COSTLY)
def test_what_lies_around_the_pixels_costs_nothing(name: str) -> None:
    before = peak()
    np.testing.assert_array_equal(decode_rgb(COSTLY[name], "i", LIMITS).rgb, rgb_pixels())
    assert peak() - before < 32 * 2**20
    assert seconds(lambda: decode_rgb(COSTLY[name], "i", LIMITS)) < 0.1


def test_a_million_chunks_are_refused_before_they_are_counted_to_the_end() -> None:
    data = bare_png(64, 64, extra=chunk(b"teXt", b"") * 1_000_000)
    assert seconds(lambda: refused(lambda: read_header(data, "i", LIMITS))) < 0.1


def test_a_picture_of_50_000_pixels_a_side_is_refused_by_its_header() -> None:
    data = bare_png(50_000, 50_000, zlib.compress(bytes(7_000_000), 0))
    before = peak()
    assert seconds(lambda: refused(lambda: decode_rgb(data, "i", LIMITS))) < 0.05
    assert peak() - before < 5 * 2**20


@pytest.mark.parametrize("mode", ["P", "L", "LA", "RGBA", "1"])
def test_palettes_and_transparency_are_read_as_the_picture_they_mean(mode: str) -> None:
    image = Image.fromarray(rgb_pixels()).convert(mode)
    out = io.BytesIO()
    image.save(out, "PNG", **({"transparency": 0} if mode in ("P", "L") else {}))
    found = decode_rgb(out.getvalue(), "i", LIMITS).rgb
    pillow = Image.open(io.BytesIO(out.getvalue())).convert("RGBA")
    over_white = Image.alpha_composite(Image.new("RGBA", pillow.size, "white"), pillow).convert("RGB")
    assert np.abs(found.astype(int) - np.asarray(over_white).astype(int)).max() <= 1

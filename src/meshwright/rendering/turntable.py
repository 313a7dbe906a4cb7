"""A film of a mesh on a turntable: one full turn, lit and framed as the previews are, as WebP or MP4."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, cast, get_args

import numpy as np
from jaxtyping import UInt8
from numpy.typing import ArrayLike

from meshwright.errors import InputError
from meshwright.geometry.mesh import TexturedMesh
from meshwright.progress import Context
from meshwright.rendering.orbit import UP, ground_under
from meshwright.rendering.previews import turntable_cameras, turntable_frame
from meshwright.workers import mapped

FilmFormat = Literal["webp", "mp4"]
Frames = Sequence[UInt8[np.ndarray, "h w 3"]]
RENDERING = 0.85  # of the time; the rest is encoding
WEBP_QUALITY, WEBP_METHOD = 86, 3
MP4_QUALITY = "20"  # x264's constant rate factor


@dataclass(frozen=True)
class Turn:
    """How a turntable is filmed: ``size`` pixels a side, ``frames`` in ``seconds``, the camera ``elevation_deg`` above
    the object's middle.
    """

    frames: int = 60
    size: int = 512
    seconds: float = 5.0
    elevation_deg: float = 20.0
    shadow: bool = True


def render_turntable(
    mesh: TexturedMesh,
    kind: FilmFormat = "webp",
    turn: Turn | None = None,
    *,
    up: ArrayLike = UP,
    context: Context | None = None,
) -> bytes:
    """The bytes of a film in which the object turns once; the light stays with the camera. WebP films repeat for ever.

    The same mesh and settings give the same bytes.

    Raises:
        InputError: reason ``film_unknown`` or ``bad_film`` for what cannot be made; ``extra_missing`` for MP4 without
            PyAV.
        Cancelled: ``context`` asked to stop.
    """
    turn, context = turn or Turn(), context or Context()
    encode = {"webp": encode_webp, "mp4": encode_mp4}[check_film(kind)]
    _check_turn(turn)
    size = turn.size + (turn.size % 2 if kind == "mp4" else 0)  # x264 halves the colours' resolution
    cameras = turntable_cameras(mesh, turn.frames, size, elevation_deg=turn.elevation_deg, up=up)
    ground = ground_under(mesh, up) if turn.shadow else None
    frames: list[UInt8[np.ndarray, "h w 3"]] = []
    for frame in mapped(lambda camera: turntable_frame(mesh, camera, ground), cameras):
        frames.append(frame)
        context.report(RENDERING * len(frames) / turn.frames, f"frame {len(frames)} of {turn.frames}")
    film = encode(frames, turn.seconds)
    context.report(1.0)
    return film


def check_film(kind: str) -> FilmFormat:
    """The film's format; raises where it is unknown or its extra is missing, before any work."""
    known = get_args(FilmFormat)
    if kind not in known:
        raise InputError(
            f"The film format {kind!r} is not known.",
            suggestion=f"Choose from {', '.join(known)}.",
            reason="film_unknown",
        )
    if kind == "mp4":
        require_av()
    return cast("FilmFormat", kind)


def require_av() -> Any:
    """The PyAV module, or the error that says how to get it."""
    try:
        import av
    except ImportError as error:
        raise InputError(
            "MP4 films need the package av (PyAV), which is not installed.",
            suggestion="Install it with: pip install 'meshwright[video]', or ask for webp.",
            reason="extra_missing",
            extra="video",
        ) from error
    return av


def encode_webp(frames: Frames, seconds: float) -> bytes:
    """An animated WebP that repeats for ever; milliseconds are shared out so that they add up to ``seconds``."""
    from PIL import Image

    first, *rest = (Image.fromarray(frame) for frame in frames)
    ends = np.rint(np.arange(len(frames) + 1) * 1000 * seconds / len(frames)).astype(int)
    buffer = io.BytesIO()
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=rest,
        duration=np.diff(ends).tolist(),
        loop=0,
        quality=WEBP_QUALITY,
        method=WEBP_METHOD,
    )
    return buffer.getvalue()


def encode_mp4(frames: Frames, seconds: float) -> bytes:
    """H.264 (x264) in MP4, BT.709 colours, for any player; frames must have even sides."""
    av = require_av()
    buffer, rate = io.BytesIO(), Fraction(len(frames)) / Fraction(seconds).limit_denominator(1000)
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": MP4_QUALITY, "preset": "medium"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for name in ("colorspace", "color_primaries", "color_trc", "color_range"):
            setattr(stream.codec_context, name, 1)  # BT.709, limited range
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(picture.reformat(format="yuv420p", dst_colorspace="ITU709")))
        container.mux(stream.encode())
    return buffer.getvalue()


def _check_turn(turn: Turn) -> None:
    if not (2 <= turn.frames <= 1000 and 16 <= turn.size <= 4096 and 0.1 <= turn.seconds <= 600):
        raise InputError(
            f"A film of {turn.frames} frames of {turn.size} px in {turn.seconds:g} s cannot be made.",
            suggestion="Use 2 to 1000 frames of 16 to 4096 px in 0.1 to 600 s.",
            reason="bad_film",
        )

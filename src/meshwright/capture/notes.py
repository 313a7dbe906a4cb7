"""The remarks that decoding makes about single files, as findings with a remedy."""

from __future__ import annotations

from meshwright.capture.capture import Finding, Severity

_NOTES: dict[str, tuple[str, str, Severity]] = {
    "image_16_bit": (
        "{path} has 16 bits a channel; 8 are used.", "Nothing to do; 8-bit sRGB is enough for colour.", "info"),
    "depth_negative": (
        "{path} holds negative depth, which counts as no depth.", "Store distances along the optical axis, above zero.",
        "warning"),
    "depth_background_far": (
        "{path} stores the background as its farthest value; it was taken as no depth.",
        "Store 0 where there is no depth.", "info"),
    "depth_assumed_mm": (
        "{path} has 16-bit depth and no scale; millimetres were assumed because the cameras are in metres.",
        "Give depth_scale (metres per value) in the camera file.", "info"),
    "depth_assumed_m": (
        "{path} has float depth and no scale; metres were assumed because the cameras are in metres.",
        "Give depth_scale (metres per value) in the camera file.", "info"),
}  # fmt: skip


def note_finding(note: str, view: str, path: str) -> Finding:
    """The finding of a decoder's note about a view's file."""
    message, remedy, severity = _NOTES[note]
    return Finding(note, message.format(path=path), remedy, view, severity)

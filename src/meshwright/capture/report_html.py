"""The input report as one HTML page that needs nothing else: pictures are inside it."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from meshwright.capture.capture import Capture, View
from meshwright.capture.masks import depth_mask, object_mask
from meshwright.capture.report import FindingInfo, InputReport, ViewInfo, told_hypothesis

_THUMB = 240
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;
  color:#1c2330;background:#fbfbfc}
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.1rem;margin:2rem 0 .6rem}.dim{color:#667}
table{border-collapse:collapse;width:100%}
td{padding:.35rem .6rem;border-bottom:1px solid #e3e6ea;text-align:left;vertical-align:top}
.views{display:grid;grid-template-columns:repeat(auto-fill,minmax(22rem,1fr));gap:1rem}
.view{background:#fff;border:1px solid #e3e6ea;border-radius:8px;padding:.8rem}.view h3{margin:0 0 .5rem;font-size:1rem}
.pair{display:flex;gap:.5rem}.pair img{width:50%;border-radius:4px;background:#000}
dl{display:grid;grid-template-columns:auto 1fr;gap:.1rem .8rem;margin:.6rem 0 0}dt{color:#667}dd{margin:0}
.badge{border-radius:999px;padding:.1rem .6rem;font-size:.85rem;color:#fff}
.good,.info{background:#2f7d4f}.info{background:#5b6b86}.warning{background:#b36b00}.error{background:#b3261e}
@media(prefers-color-scheme:dark){body{background:#14171c;color:#dde}.view{background:#1c2128}
.view,td{border-color:#333b46}}
"""


def report_html(report: InputReport, capture: Capture) -> str:
    """A complete page: findings, the rig, and each view with its mask's outline and its depth in colour."""
    views = {view.name: view for view in capture.views}
    cards = "".join(_card(info, views[info.name]) for info in report.views)
    cameras = report.camera_format or "none given"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Capture report: {escape(report.source or '')}</title><style>{_STYLE}</style></head><body>"
        f'<h1>Capture report <span class="badge {report.verdict}">{report.verdict}</span></h1>'
        f'<p class="dim">{escape(report.source or "")} · {report.view_count} views · cameras: {escape(cameras)}</p>'
        f"{_findings(report.findings)}{_rig(report)}<h2>Views</h2><div class=views>{cards}</div></body></html>"
    )


def _findings(findings: list[FindingInfo]) -> str:
    if not findings:
        return "<p>Nothing to remark.</p>"
    rows = "".join(
        f'<tr><td><span class="badge {f.severity}">{f.severity}</span></td><td>{escape(f.view or "")}</td>'
        f"<td>{escape(f.message)}<br><span class=dim>{escape(f.remedy)}</span></td></tr>"
        for f in findings
    )
    return f"<h2>Findings</h2><table>{rows}</table>"


def _rig(report: InputReport) -> str:
    rig = report.rig
    if rig is None:
        return ""
    rows = [
        ("cameras", rig.source),
        *told_hypothesis(rig.hypothesis).items(),
        ("field of view", "" if rig.fov_deg is None else f"{rig.fov_deg:.2f}°"),
        ("residual", "" if rig.residual_pct is None else f"{rig.residual_pct:.3f} % of the diagonal"),
        ("margin over the next", "" if rig.margin is None else f"{rig.margin:.2f}"),
        ("tie", "yes" if rig.tie else "no"),
    ]
    body = "".join(f"<tr><td class=dim>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in rows if v)
    return f"<h2>Rig</h2><table>{body}</table>"


def _card(info: ViewInfo, view: View) -> str:
    pictures = _picture(_outlined(view.rgb, object_mask(view)), f"{view.name}, mask outlined")
    if view.depth is not None:
        pictures += _picture(_depth_colours(view), f"{view.name}, depth")
    rows = [
        ("size", f"{info.width} x {info.height}"),
        ("sharpness", f"{info.sharpness:.2f}"),
        ("exposure", f"mean {info.exposure.mean:.0f}, {info.exposure.bright:.1%} clipped"),
        ("mask", f"{info.mask.coverage:.1%} of the image, from {info.mask.source}"),
    ]
    if info.depth:
        depth = info.depth
        values = f"{depth.minimum:g} to {depth.maximum:g}, {depth.levels} levels"
        rows.append(("depth", f"{depth.width} x {depth.height}, {depth.bits} bit, {values}"))
        scale = depth.unit_scale or depth.solved_scale
        rows.append(("depth scale", "unknown" if scale is None else f"{scale:.6g} per value"))
    if info.silhouette:
        rows.append(("silhouette IoU", f"{info.silhouette.iou:.3f} ({info.silhouette.aligned_iou:.3f} aligned)"))
    body = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows)
    return f'<div class="view"><h3>{escape(view.name)}</h3><div class="pair">{pictures}</div><dl>{body}</dl></div>'


def _outlined(rgb: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"]) -> Image.Image:
    """A thumbnail with the mask's outline in red."""
    image = Image.fromarray(rgb)
    image.thumbnail((_THUMB, _THUMB))
    small = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(image.size)) > 127
    inner = small.copy()
    inner[1:-1, 1:-1] = small[:-2, 1:-1] & small[2:, 1:-1] & small[1:-1, :-2] & small[1:-1, 2:] & small[1:-1, 1:-1]
    pixels = np.asarray(image).copy()
    pixels[small & ~inner] = (224, 32, 32)
    return Image.fromarray(pixels)


def _depth_colours(view: View) -> Image.Image:
    """A thumbnail of depth: near bright, far dark, none black."""
    assert view.depth is not None
    values, mask = view.depth.values, depth_mask(view)
    low, high = float(values[mask].min()), float(values[mask].max())
    share = np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)
    colours = np.stack([255 - 150 * share, 235 - 190 * share, 180 - 60 * share], -1)
    image = Image.fromarray(np.where(mask[..., None], colours, 0).astype(np.uint8))
    image.thumbnail((_THUMB, _THUMB))
    return image


def _picture(image: Image.Image, label: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(label)}" src="data:image/png;base64,{data}">'

"""The same double under another name."""

from __future__ import annotations

from meshwright.engines.fusion.engine import Scripted

ENGINE = Scripted("nvdiffrec")

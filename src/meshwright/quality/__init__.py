"""How good a result is: measured per view against the capture, judged, and written as ``quality.json``.

Everything is measured in the frame of the solved surface cameras, on the object's own pixels; docs/quality.md has the
definitions.
"""

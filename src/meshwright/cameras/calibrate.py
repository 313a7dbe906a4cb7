"""From a capture to a calibrated one: given cameras are used and checked, missing ones are solved from the depth maps.

Order of work: lay out what each view shows (`observations`), find the rig (`search`) or keep the given one and fit
only the depth scales, register each RGB image to its depth (`registration`), put the object into its world
(`placing`), and report how well all views agree.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshwright.cameras.given import calibrate_given
from meshwright.cameras.solved import calibrate_solved
from meshwright.capture.calibrated import CalibratedCapture
from meshwright.capture.capture import Capture
from meshwright.errors import InputError
from meshwright.progress import Context


@dataclass(frozen=True)
class CalibrationOptions:
    """What the user fixes in advance.

    ``rig``: None solves what is not given; ``given`` insists on the capture's cameras; ``viewer`` or ``object`` fixes
    the left/right naming; or a list such as ``naming=object,top=180,bottom=0,fov=60,law=linear,offset=no,ray=no,
    projection=perspective,mirror=back`` (any subset; see `meshwright.cameras.forced`). ``solve`` ignores given cameras.
    ``register``: lay each RGB image on its depth by a similarity.
    """

    rig: str | None = None
    register: bool = True


def calibrate(
    capture: Capture, options: CalibrationOptions | None = None, context: Context | None = None
) -> CalibratedCapture:
    """Put all views of a capture into one world.

    With given cameras the world is the user's. Otherwise it is +Y up, front +Z, centred on the object, whose bounding
    box has diagonal 1.

    Raises:
        InputError: cameras are neither given nor solvable (reasons ``cameras_unsolvable``, ``cameras_missing``), or
            ``rig`` cannot be read or holds for no arrangement (``rig_unreadable``, ``rig_contradiction``).
        Cancelled: the context asked to stop.
    """
    options, context = options or CalibrationOptions(), context or Context()
    if capture.has_cameras and options.rig in (None, "given"):
        return calibrate_given(capture, options.register, context)
    if options.rig == "given":
        raise InputError(
            "--rig given, but the capture has no cameras.",
            reason="cameras_missing",
            suggestion="Add a cameras.json or a COLMAP or BOP model, or leave --rig out to have the cameras solved.",
        )
    return calibrate_solved(capture, options.rig, options.register, context)

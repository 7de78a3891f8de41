"""The method `day_night` of the control socket: the night mode of a camera, chosen for a moment by a technician's test.

The choice ends by itself: a console that dies leaves the camera as it decides by itself.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from agent.base.errors import UserError
from agent.capture.snapshot_command import CameraAccess
from agent.commands.requester import CommandRejected, Requester
from agent.runtime import control_client
from agent.runtime.local_server import LocalRequest

HOLD_S = 30.0
"""The time for which a chosen mode counts. A test chooses again within it."""
REPLY_TIMEOUT_S = 5.0

Mode = Literal["day", "night", "auto"]
"""`auto`: as the camera decides by itself."""
_NIGHT: Mapping[Mode, bool | None] = {"day": False, "night": True, "auto": None}


class DayNightRequest(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="method", tag="day_night"
):
    """A request of the technician `by` for the mode of `camera`; with `mode` it chooses one for HOLD_S."""

    camera: str
    by: str
    mode: Mode | None = None


class DayNightState(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="done"):
    """The mode that the camera reports, None if it reports none, and the filters and lamps that follow it, by pin."""

    night: bool | None
    outputs: dict[str, bool]


class NightModeAccess(msgspec.Struct, frozen=True, kw_only=True):
    """A camera of the running agent: who may see it, the mode that it reports, and the choice of one until a time."""

    access: CameraAccess
    read: Callable[[], bool | None]
    hold: Callable[[bool | None, int], bool]


class DayNightUnavailable(Exception):
    """The agent refused. `str(error)` has the reason in one sentence."""


class DayNightHandler:
    """Handler of the requests. `read_outputs` returns the filters and lamps of a camera, by pin."""

    def __init__(
        self,
        cameras: Mapping[str, NightModeAccess],
        read_outputs: Callable[[str], dict[str, bool]],
        clock_ns: Callable[[], int],
    ) -> None:
        self._cameras = dict(cameras)
        self._read_outputs = read_outputs
        self._clock_ns = clock_ns

    def handle(self, wanted: DayNightRequest, request: LocalRequest) -> None:
        """Answer one request. Never blocks."""
        try:
            request.reply(self._choose(wanted))
        except CommandRejected as error:
            request.refuse(error.code, str(error))

    def _choose(self, wanted: DayNightRequest) -> DayNightState:
        camera = self._cameras.get(wanted.camera)
        if camera is None:
            raise CommandRejected("unknown", f"camera {wanted.camera!r}: none of that name")
        camera.access.check_viewer(wanted.camera, Requester(id=wanted.by, role="operator"))
        if wanted.mode is not None:
            until_ns = self._clock_ns() + round(HOLD_S * 1e9)
            if not camera.hold(_NIGHT[wanted.mode], until_ns):
                raise CommandRejected(
                    "unsupported",
                    f"camera {wanted.camera!r}: its driver does not switch between day and night, "
                    "or it is not open; allowed: a camera module (csi)",
                )
        return DayNightState(night=camera.read(), outputs=self._read_outputs(wanted.camera))


def request_day_night(state_dir: Path, request: DayNightRequest) -> DayNightState | None:
    """Send a request to the agent. Return None if no agent answers. Raises DayNightUnavailable if it refuses."""
    try:
        return control_client.request_one(state_dir, request, DayNightState, REPLY_TIMEOUT_S)
    except OSError:
        return None
    except UserError as error:
        raise DayNightUnavailable(str(error)) from error

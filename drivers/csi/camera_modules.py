"""The camera modules that libcamera lists, in a child process: native code may hang or crash."""

import msgspec

from drivers.child.connection import ChildConnection
from drivers.child.messages import Failed
from drivers.child.process import new_interpreter
from drivers.errors import DriverError

START_PROCESS = new_interpreter("drivers.csi.camera_modules_child")
ENUMERATE_TIMEOUT_S = 15.0
"""Picamera2 alone takes seconds to load on a small board."""
KILL_TIMEOUT_S = 1.0


class CameraModule(msgspec.Struct, frozen=True, kw_only=True):
    """A camera of libcamera. `number` is Picamera2's; `id` is the connector's, stable over restarts.

    A USB camera is served by the driver `v4l2`.
    """

    number: int
    id: str
    model: str
    rotation_deg: int | None = None
    is_usb: bool = False


class NoSettings(msgspec.Struct, frozen=True):
    """The child has none."""


class FoundModules(msgspec.Struct, frozen=True, kw_only=True, tag="modules"):
    """The child's only message."""

    modules: tuple[CameraModule, ...]


_decoder: msgspec.msgpack.Decoder[FoundModules | Failed] = msgspec.msgpack.Decoder(
    FoundModules | Failed
)


def enumerate_modules(timeout_s: float = ENUMERATE_TIMEOUT_S) -> tuple[CameraModule, ...]:
    """List the cameras of libcamera without opening any.

    Raises: DriverError absent (no Picamera2), timeout (libcamera hangs), stuck (it cannot be ended),
    protocol (libcamera crashes).
    """
    found: list[FoundModules] = []

    connection = ChildConnection(
        "camera modules", NoSettings(), START_PROCESS, _decoder, found.append
    )
    connection.wait_for(lambda: bool(found), timeout_s)
    error = connection.error
    has_ended = connection.end(graceful=False, kill_timeout_s=KILL_TIMEOUT_S)
    if found:
        return found[0].modules
    if not has_ended:
        raise DriverError(
            "stuck", "camera modules: libcamera hangs in the kernel: restart the board"
        )
    if error is None:
        raise DriverError("timeout", f"camera modules: libcamera says nothing for {timeout_s:g} s")
    if connection.ended_silently:
        exit_status = connection.describe_child()
        raise DriverError("protocol", f"camera modules: libcamera crashes: {exit_status}")
    raise error

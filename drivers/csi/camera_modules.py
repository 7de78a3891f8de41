"""The camera modules that libcamera lists, in a child process: native code may hang or crash."""

import contextlib
import subprocess
import sys

import msgspec

from drivers.errors import DriverError, DriverErrorKind

MODULE = "drivers.csi.camera_modules_child"
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


class CameraModulesReply(msgspec.Struct, frozen=True, kw_only=True):
    """The child's output: the cameras, or its error."""

    modules: tuple[CameraModule, ...] = ()
    kind: DriverErrorKind | None = None
    message: str = ""


def enumerate_modules(timeout_s: float = ENUMERATE_TIMEOUT_S) -> tuple[CameraModule, ...]:
    """List the cameras of libcamera without opening any.

    Raises: DriverError absent (no Picamera2), timeout (libcamera hangs), stuck (it cannot be ended),
    protocol (libcamera crashes).
    """
    with subprocess.Popen(  # noqa: S603 - this interpreter and a module of ours
        [sys.executable, "-P", "-m", MODULE],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
    ) as child:
        try:
            output, _ = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise _end_hung_child(child, timeout_s) from error
        except BaseException:
            child.kill()
            raise
    try:
        reply = msgspec.json.decode(output, type=CameraModulesReply)  # noqa: TID251 - our child's
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        exit_status = f"its process ended with {child.returncode}"
        raise DriverError(
            "protocol", f"camera modules: libcamera crashes: {exit_status}"
        ) from error
    if reply.kind is not None:
        raise DriverError(reply.kind, reply.message)
    return reply.modules


def _end_hung_child(child: subprocess.Popen[bytes], timeout_s: float) -> DriverError:
    """End a child that hangs."""
    child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(KILL_TIMEOUT_S)
        return DriverError("timeout", f"camera modules: libcamera says nothing for {timeout_s:g} s")
    # The end of the `with` waits for the child, which the kernel holds: mark it as ended.
    child.returncode = -1
    return DriverError("stuck", "camera modules: libcamera hangs in the kernel: restart the board")

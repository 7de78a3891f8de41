"""Which camera modules libcamera sees, asked in a child process: native code may hang or crash."""

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
    """One camera as libcamera knows it. `number` is as Picamera2 counts, `id` is the connector's and
    stays the same over restarts. `usb`: it is a USB camera, which the driver `v4l2` serves.
    """

    number: int
    id: str
    model: str
    rotation_deg: int | None = None
    usb: bool = False


class CameraModulesReply(msgspec.Struct, frozen=True, kw_only=True):
    """What the child says: what there is, or why it cannot tell."""

    modules: tuple[CameraModule, ...] = ()
    kind: DriverErrorKind | None = None
    message: str = ""


def enumerate_modules(timeout_s: float = ENUMERATE_TIMEOUT_S) -> tuple[CameraModule, ...]:
    """Every camera that libcamera sees; none of them is opened.

    Raises DriverError: absent (no Picamera2), timeout (libcamera hangs), stuck (and cannot be
    ended), protocol (libcamera crashes).
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
        reply = msgspec.json.decode(output, type=CameraModulesReply)
    except msgspec.DecodeError as error:
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
    # Whoever leaves the `with` waits for the child, which the kernel holds: make it nobody's.
    child.returncode = -1
    return DriverError("stuck", "camera modules: libcamera hangs in the kernel: restart the board")

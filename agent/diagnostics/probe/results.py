"""What was found, of every kind, and what could not be asked and why. The JSON of `vigie probe`."""

from typing import Generic, Literal, TypeVar

import msgspec

from drivers.csi.camera_modules import CameraModule
from drivers.errors import DriverError
from drivers.gpio_chips import PinChip, PinFactory
from drivers.head_search import PortSearch
from drivers.onvif.camera_info import CameraInfo
from drivers.rtsp_search import FoundRtspServer
from drivers.serial_ports import FoundPort
from drivers.v4l2_devices import VideoDevice

T = TypeVar("T")


class ProbeProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why something could not be asked: a kind of `drivers.errors`, or `denied`."""

    kind: str
    message: str


def problem_from(error: DriverError) -> ProbeProblem:
    """A driver's error."""
    return ProbeProblem(kind=error.kind, message=str(error))


class ProbeSection(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """All of one kind. Where there is a problem, `found` may lack some."""

    found: tuple[T, ...] = ()
    problem: ProbeProblem | None = None


class FoundPins(msgspec.Struct, frozen=True, kw_only=True):
    """The chips, and through what the pins are reached."""

    chips: tuple[PinChip, ...] = ()
    factory: PinFactory | None = None
    problem: ProbeProblem | None = None


class FoundOnvif(msgspec.Struct, frozen=True, kw_only=True):
    """A camera that answered a search, or was named. `adopted` is what it says of itself; where it
    says nothing, `problem` is why.
    """

    url: str
    name: str | None = None
    hardware: str | None = None
    id: str | None = None
    adopted: CameraInfo | None = None
    problem: ProbeProblem | None = None


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. What was not asked for is null: heads, ONVIF and RTSP."""

    v: Literal[1] = 1
    board: str | None = None
    camera_modules: ProbeSection[CameraModule] = ProbeSection()
    video_devices: ProbeSection[VideoDevice] = ProbeSection()
    serial_ports: ProbeSection[FoundPort] = ProbeSection()
    pins: FoundPins = FoundPins()
    heads: ProbeSection[PortSearch] | None = None
    onvif: ProbeSection[FoundOnvif] | None = None
    rtsp: ProbeSection[FoundRtspServer] | None = None

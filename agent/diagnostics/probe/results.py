"""What was found, of every kind, and what could not be asked and why. The JSON of `vigie probe`."""

from typing import Generic, Literal, TypeVar

import msgspec

from drivers.csi.camera_modules import CameraModule
from drivers.errors import DriverError
from drivers.gpio_chips import PinChip, PinFactory
from drivers.head_search import PortSearch
from drivers.onvif.camera_info import Adopted
from drivers.rtsp_search import FoundRtsp
from drivers.serial_ports import FoundPort
from drivers.v4l2_devices import VideoDevice

T = TypeVar("T")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why something could not be asked: a kind of `drivers.errors`, or `denied`."""

    kind: str
    said: str


def problem_of(error: DriverError) -> Problem:
    """A driver's error."""
    return Problem(kind=error.kind, said=str(error))


class Section(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """All of one kind. Where there is a problem, `found` may lack some."""

    found: tuple[T, ...] = ()
    problem: Problem | None = None


class FoundPins(msgspec.Struct, frozen=True, kw_only=True):
    """The chips, and through what the pins are reached."""

    chips: tuple[PinChip, ...] = ()
    factory: PinFactory | None = None
    problem: Problem | None = None


class FoundOnvif(msgspec.Struct, frozen=True, kw_only=True):
    """A camera that answered a search, or was named. `adopted` is what it says of itself; where it
    says nothing, `problem` is why.
    """

    url: str
    name: str | None = None
    hardware: str | None = None
    id: str | None = None
    adopted: Adopted | None = None
    problem: Problem | None = None


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. What was not asked for is null: heads, ONVIF and RTSP."""

    v: Literal[1] = 1
    board: str | None = None
    modules: Section[CameraModule] = Section()
    devices: Section[VideoDevice] = Section()
    ports: Section[FoundPort] = Section()
    pins: FoundPins = FoundPins()
    heads: Section[PortSearch] | None = None
    onvif: Section[FoundOnvif] | None = None
    rtsp: Section[FoundRtsp] | None = None

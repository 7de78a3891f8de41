"""Devices that `vigie probe` found, and the searches that failed: the format of its JSON."""

from typing import Generic, Literal, TypeVar

import msgspec

from drivers.accelerators import Accelerator
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
    """Reason of a failed search. `kind` is one of `drivers.errors`, or `denied`."""

    kind: str
    message: str


def problem_from(error: DriverError) -> ProbeProblem:
    """Return a driver's error as a problem."""
    return ProbeProblem(kind=error.kind, message=str(error))


class ProbeSection(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Devices of one kind. If there is a problem, `found` may be incomplete."""

    found: tuple[T, ...] = ()
    problem: ProbeProblem | None = None


class FoundPins(msgspec.Struct, frozen=True, kw_only=True):
    """GPIO chips, and the pin factory that drives them."""

    chips: tuple[PinChip, ...] = ()
    factory: PinFactory | None = None
    problem: ProbeProblem | None = None


class FoundModel(msgspec.Struct, frozen=True, kw_only=True):
    """The file of an accelerator's model, and the name of its card."""

    model: str
    kind: str
    file: str
    sha256: str


class FoundAccelerators(msgspec.Struct, frozen=True, kw_only=True):
    """Accelerators, and the models of their kinds whose files upstream's packages have installed."""

    found: tuple[Accelerator, ...] = ()
    models: tuple[FoundModel, ...] = ()


class FoundOnvif(msgspec.Struct, frozen=True, kw_only=True):
    """A camera that answered a search, or that the command line names.

    `adopted` is its description of itself; if it gives none, `problem` is the reason.
    """

    url: str
    name: str | None = None
    hardware: str | None = None
    id: str | None = None
    adopted: CameraInfo | None = None
    problem: ProbeProblem | None = None


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """Results of one probe. Heads, ONVIF and RTSP are null if they were not requested."""

    v: Literal[1] = 1
    board: str | None = None
    camera_modules: ProbeSection[CameraModule] = ProbeSection()
    video_devices: ProbeSection[VideoDevice] = ProbeSection()
    serial_ports: ProbeSection[FoundPort] = ProbeSection()
    pins: FoundPins = FoundPins()
    accelerators: FoundAccelerators = FoundAccelerators()
    heads: ProbeSection[PortSearch] | None = None
    onvif: ProbeSection[FoundOnvif] | None = None
    rtsp: ProbeSection[FoundRtspServer] | None = None

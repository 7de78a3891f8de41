"""The contracts of cameras, heads and pins. `tests/contracts/` tests every driver by them."""

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import msgspec

from drivers.media import Frame, Packet, Polygon, StreamInfo


class StreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent uses of a camera, so that a driver does no needless work.

    `packets`: deliver the encoded stream. `frames_fps`: deliver at most this many decoded frames a
    second of the stream's time; 0 delivers none (nothing is decoded), infinity every one. `masks`
    are burnt into every frame, and into the packets if the driver encodes them itself; packets that
    arrive encoded are delivered as they are. `current_masks`, for a camera on a head, is called
    before each picture and replaces `masks`.
    """

    packets: bool
    frames_fps: float
    masks: tuple[Polygon, ...] = ()
    current_masks: Callable[[], tuple[Polygon, ...]] | None = None

    @property
    def has_masks(self) -> bool:
        """Whether a picture may have to be masked."""
        return bool(self.masks) or self.current_masks is not None


class Camera(Protocol):
    """One open video source. One thread reads it; another one may call `close`.

    A driver's module has `Options`, a frozen msgspec struct, and
    `open_camera(name, options, wanted, clock_ns)`, which raises DriverError, or MaskError before
    the device is opened if a mask cannot be drawn. `clock_ns` reads CLOCK_BOOTTIME; a test passes
    a clock of its own.
    """

    @property
    def info(self) -> StreamInfo:
        """The stream's parameters, known as soon as the camera is open."""
        ...

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """Return the next packet or frame, or None if none came within `timeout_s` seconds.

        Packets come in decoding order, frames in presentation order; `t_ns` never steps back within
        either. Raises: DriverError, of the kind `ended` if the source is over, at this and each further
        call, and `absent` if the camera is closed.
        """
        ...

    def close(self) -> None:
        """Close the device. A second call does nothing; a blocked `read` returns soon."""
        ...


class CameraReadings(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a camera's sensor and lens at its last picture. None: not reported.

    `night`: it takes pictures for darkness (no colour, longer exposures), so that an IR-cut filter
    and a lamp may follow. `dropped_frames` and `dropped_packets` were lost in the driver since it was
    opened, because they were not read in time.
    """

    night: bool | None = None
    exposure_us: int | None = None
    analogue_gain: float | None = None
    lux: float | None = None
    colour_temperature_k: int | None = None
    lens_dioptres: float | None = None
    """Focus of the lens: 1 over the distance in metres, 0 at infinity."""
    focus_score: int | None = None
    """Sharpness of the picture, comparable within one scene; higher is sharper."""
    dropped_frames: int = 0
    dropped_packets: int = 0


@runtime_checkable
class ReadingsSource(Protocol):
    """A camera that reports the state of its sensor."""

    def readings(self) -> CameraReadings | None:
        """Return the newest readings, or None if there are none yet. Thread-safe; never blocks."""
        ...


Aux = Literal["wiper", "heater", "ir"]
"""The auxiliary functions of a head."""


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """A range, both ends included."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """Return the value halfway between the ends."""
        return (self.low + self.high) / 2

    def clamp(self, value: float) -> float:
        """Return the nearest value within the range."""
        return min(max(value, self.low), self.high)


FRACTION = Range(low=0.0, high=1.0)
SIGNED_FRACTION = Range(low=-1.0, high=1.0)


class PtzCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a head can do: declared by its driver and its options, or asked of it; never guessed.

    `absolute`: it tells where it is and goes where it is told; otherwise its driver reckons.
    `pan_deg` is None where it turns without end. Speeds are the fastest, in degrees a second.
    `zoom_ratio` is tele over wide, 1 where it has no zoom. `presets` is how many places it
    remembers itself, 0 where none.
    """

    absolute: bool
    pan_deg: Range | None
    tilt_deg: Range
    pan_max_deg_s: float
    tilt_max_deg_s: float
    zoom_ratio: float = 1.0
    focus: bool = False
    presets: int = 0
    aux: tuple[Aux, ...] = ()


class Velocity(msgspec.Struct, frozen=True, kw_only=True):
    """How a head is to move until it is told otherwise.

    `pan_deg_s` is positive to the right, seen from behind the camera, `tilt_deg_s` upwards. `zoom`
    (positive: tele) and `focus` (positive: far) are shares of the fastest, -1..1.
    """

    pan_deg_s: float = 0.0
    tilt_deg_s: float = 0.0
    zoom: float = 0.0
    focus: float = 0.0


class Pose(msgspec.Struct, frozen=True, kw_only=True):
    """Where a head looks: `pan_deg` in (-180, 180], to the right of its zero; `tilt_deg` above the
    horizon; `zoom` 0 (wide) to 1 (tele) of its range.
    """

    pan_deg: float
    tilt_deg: float
    zoom: float = 0.0


class PtzPosition(msgspec.Struct, frozen=True, kw_only=True):
    """Where a head is, as of `t_ns` (CLOCK_BOOTTIME): within `error_deg` in pan and in tilt, 180
    where nobody knows. `moving`: it has been told to move and is not known to have arrived.

    `t_ns` is when it was asked or when it answered; what it may have moved between the two is part of the
    error.
    """

    pose: Pose
    error_deg: float
    moving: bool
    t_ns: int


class Ptz(Protocol):
    """One open pan-tilt head. Its methods may be called from any thread; each returns within a
    second or two, and raises DriverError: `timeout` where the head does not answer, `absent`
    where the port is gone (the next call tries again) or the head was closed, `unsupported` for
    what its abilities leave out. What is out of its range goes as far as it can.

    A driver's module offers `Options`, a frozen msgspec struct, and
    `open_ptz(name, options, clock_ns)`, which raises DriverError where the port cannot be opened.
    Opening moves nothing. Motion never ends by itself but at an end stop: the agent stops it.
    """

    @property
    def capabilities(self) -> PtzCapabilities:
        """What it can do."""
        ...

    def move(self, velocity: Velocity) -> None:
        """Move at this velocity from now on; all zeros is `stop`."""
        ...

    def stop(self) -> None:
        """Stop all motion. It passes whatever waits on the same bus, and takes it away."""
        ...

    def goto(self, pose: Pose, speed: float) -> None:
        """Begin to go to a pose, at a share of the top speed in (0, 1]. `unsupported` where the
        head is not absolute.
        """
        ...

    def read_position(self) -> PtzPosition:
        """Where it is: asked of an absolute head, reckoned otherwise."""
        ...

    def store_preset(self, number: int) -> None:
        """Remember the present place under a number from 1 to `abilities.presets`."""
        ...

    def goto_preset(self, number: int) -> None:
        """Begin to go to a remembered place."""
        ...

    def set_aux(self, aux: Aux, *, on: bool) -> None:
        """Switch one of `abilities.aux`."""
        ...

    def close(self) -> None:
        """Stop, and close the port. A second call does nothing."""
        ...


class GpioLine(msgspec.Struct, frozen=True, kw_only=True):
    """One pin and what it is. `pin` is the chip's number (BCM on a Raspberry Pi). With `active_low`
    it is active at the low level. An input has a `pull`, an output is inactive when it is opened.
    """

    name: str
    pin: int
    direction: Literal["in", "out"]
    active_low: bool = False
    pull: Literal["up", "down", "none"] = "none"


class GpioEdge(msgspec.Struct, frozen=True, kw_only=True):
    """An input has changed, at `t_ns` (CLOCK_BOOTTIME). Not debounced."""

    name: str
    active: bool
    t_ns: int


class Gpio(Protocol):
    """The pins of one box, open. `edge` is read by one thread, the rest by any.

    A driver's module offers `Options` and `open_gpio(options, lines, clock_ns)`, which raises
    DriverError: `absent` without a chip or a pin of that number, `busy` where another process has
    the pin, `unsupported` where this user may not have it or the pin cannot be what the line says.
    Once they are closed, all but `close` raise DriverError `absent`; `unsupported` after a fork.
    """

    @property
    def dropped_edges(self) -> int:
        """Number of edges that were dropped since the pins were opened, because they were not read."""
        ...

    def read_edge(self, timeout_s: float) -> GpioEdge | None:
        """The next change of an input, None where none came within `timeout_s` seconds. At most
        1024 wait; beyond them the oldest are dropped, and `is_active` tells how it stands.
        """
        ...

    def wake(self) -> None:
        """Wake the reader: `read_edge`, or its next call, returns None at once."""
        ...

    def is_active(self, name: str) -> bool:
        """Whether an input or an output is active now."""
        ...

    def set_output(self, name: str, *, active: bool) -> None:
        """Set an output."""
        ...

    def close(self) -> None:
        """Set every output inactive and release the pins. A second call does nothing."""
        ...

"""The contracts of cameras, heads and pins. `tests/contracts/` tests every driver by them."""

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import msgspec

from drivers.errors import DriverError
from drivers.int64 import Int64
from drivers.media import Frame, Packet, PictureArea, Polygon, StreamInfo


class SensorNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """A network for the camera's sensor: its file, the class numbers that are used by their names, and the least score."""

    file: str
    labels: dict[str, int]
    min_score: float


class StreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a camera's stream that the agent uses, so that a driver does no needless work.

    `packets`: deliver the encoded stream. `frames_fps`: deliver at most this many decoded frames a
    second of the stream's time; 0 delivers none (nothing is decoded), infinity every one. `masks`
    are burnt into every frame, and into the packets if the driver encodes them itself; packets that
    arrive encoded are delivered as they are. `current_masks` replaces `masks`: it is called with the `t_ns` of each picture
    and returns its masks, which are not those of the moment of painting if the picture comes late.
    With `masks_may_lag` some pictures after a change may still have the masks before it, for a second at most.
    `keyframe_watch` decides whether the pictures between keyframes are decoded: see
    `drivers.frame_decoder.FrameDecoder`. A driver that does not decode, or decodes each picture alone, never calls it.
    `network` runs in the sensor, if the driver can do that: its results are in the frames. `on_decoder_failure` is called if a
    hardware decoder of the driver's options is not used, with the reason, at each opening again. Thread-safe.
    """

    packets: bool
    frames_fps: float
    masks: tuple[Polygon, ...] = ()
    current_masks: Callable[[int], tuple[Polygon, ...]] | None = None
    masks_may_lag: bool = False
    keyframe_watch: Callable[[Frame], bool] | None = None
    network: SensorNetwork | None = None
    on_decoder_failure: Callable[[DriverError], None] | None = None

    @property
    def has_masks(self) -> bool:
        """Whether a picture may have to be masked."""
        return bool(self.masks) or self.current_masks is not None


class Camera(Protocol):
    """One open video source. One thread reads it; another one may call `close`.

    A driver's module has `Options`, a frozen msgspec struct, and
    `open_camera(name, options, wanted, clock_ns)`, which raises DriverError, or MaskError before
    the device is opened if a mask cannot be drawn. `clock_ns` reads CLOCK_BOOTTIME; a test passes
    a clock of its own. Options that choose the size of the pictures are named `width_px` and `height_px`, for
    smaller frames `detect_width_px` and `detect_height_px`.
    """

    @property
    def info(self) -> StreamInfo:
        """The stream's parameters, known as soon as the camera is open."""
        ...

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """Return the next packet or frame, or None if none came within `timeout_s` seconds.

        Packets come in decoding order, frames in presentation order; `t_ns` never steps back within
        either. Raises DriverError: `ended` if the source is over, at this and each further call, and
        `closed` after `close`.
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
    exposure_us: Int64 | None = None
    analogue_gain: float | None = None
    lux: float | None = None
    colour_temperature_k: Int64 | None = None
    lens_dioptres: float | None = None
    """Focus of the lens: 1 over the distance in metres, 0 at infinity."""
    focus_score: Int64 | None = None
    """Sharpness of the picture, comparable within one scene; higher is sharper."""
    dropped_frames: Int64 = 0
    dropped_packets: Int64 = 0


@runtime_checkable
class ReadingsSource(Protocol):
    """A camera that reports the state of its sensor."""

    def readings(self) -> CameraReadings | None:
        """Return the newest readings, or None if there are none yet. Thread-safe; never blocks."""
        ...


@runtime_checkable
class FrameRateControl(Protocol):
    """A camera that changes its frame rate while it runs."""

    def set_min_fps(self, fps: float | None) -> None:
        """Deliver at least `fps` pictures a second, as far as the sensor's mode allows; None: as configured.

        Thread-safe; never blocks. It applies within a second or two, and to this opening of the camera.
        """
        ...


@runtime_checkable
class NightModeControl(Protocol):
    """A camera whose night mode can be chosen while it runs. It is a ReadingsSource that reports `night`."""

    def set_night(self, night: bool | None) -> None:  # noqa: FBT001 - a state, not a flag
        """Take pictures as by night or by day, from the next second on; None: as the camera decides by itself.

        Thread-safe; never blocks. It applies to this opening of the camera. A camera that is configured for day alone
        stays as it is.
        """
        ...


@runtime_checkable
class SensorNetworkControl(Protocol):
    """A camera with a network in its sensor, if the request has one."""

    @property
    def network_error(self) -> str | None:
        """The reason why the network of the request does not run, None if it does."""
        ...

    def set_search_area(self, area: PictureArea) -> None:
        """Let the sensor search this part of the pictures to come. Thread-safe; never blocks.

        For a fifth of a second or three frames no results come. Drivers take the nearest area that the sensor can search.
        """
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
    """A head's capabilities: declared by its driver and options, or queried; never guessed.

    `absolute`: the head reports its position and goes to a pose; otherwise its driver uses dead
    reckoning. `pan_deg` is None if the head pans without end. `pan_max_deg_s` and
    `tilt_max_deg_s` are the top speeds. `zoom_ratio` is tele over wide, 1 without a zoom.
    `presets` is the number of positions that the head itself stores.
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
    """The velocity of a head until the next order.

    `pan_deg_s` is positive to the right, seen from behind the camera, `tilt_deg_s` upwards. `zoom`
    (positive: tele) and `focus` (positive: far) are shares of the top speed, -1..1.
    """

    pan_deg_s: float = 0.0
    tilt_deg_s: float = 0.0
    zoom: float = 0.0
    focus: float = 0.0


class Pose(msgspec.Struct, frozen=True, kw_only=True):
    """The direction and the zoom of a head.

    `pan_deg` is in (-180, 180], positive to the right of the head's zero. `tilt_deg` is above the
    horizon. `zoom` is 0 (wide) to 1 (tele) of its range.
    """

    pan_deg: float
    tilt_deg: float
    zoom: float = 0.0


class PtzPosition(msgspec.Struct, frozen=True, kw_only=True):
    """The pose of a head at `t_ns` (CLOCK_BOOTTIME), with its error.

    The head is within `error_deg` in pan and in tilt; 180 if the pose is unknown. `moving`: the
    head has an order to move and is not known to have arrived. `t_ns` is the time of the query or of
    its answer; the motion that is possible between the two is part of the error.
    """

    pose: Pose
    error_deg: float
    moving: bool
    t_ns: int


class Ptz(Protocol):
    """One open pan-tilt head. Thread-safe.

    Each method returns within a second or two. Each raises DriverError: `timeout` if the head does
    not answer, `absent` if the port is gone (the next call tries again), `closed` after `close`, and
    `unsupported` for a function that `capabilities` lacks. Values out of range are clamped.

    A driver's module has `Options`, a frozen msgspec struct, and `open_ptz(name, options,
    clock_ns)`, which raises DriverError if the port cannot be opened. Opening moves nothing. A
    motion ends by itself only at an end stop: the agent stops it.
    """

    @property
    def capabilities(self) -> PtzCapabilities:
        """The capabilities of the head."""
        ...

    def move(self, velocity: Velocity) -> None:
        """Move at this velocity from now on; all zeros is `stop`."""
        ...

    def stop(self) -> None:
        """Stop all motion, ahead of all that waits on the bus, and cancel this head's motions."""
        ...

    def goto(self, pose: Pose, speed: float) -> None:
        """Begin to go to a pose, at a share of the top speed in (0, 1].

        Raises DriverError `unsupported` if the head is not absolute.
        """
        ...

    def read_position(self) -> PtzPosition:
        """Return the position: queried from an absolute head, otherwise by dead reckoning."""
        ...

    def store_preset(self, number: int) -> None:
        """Store the current position under a number from 1 to `capabilities.presets`."""
        ...

    def goto_preset(self, number: int) -> None:
        """Begin to go to a stored position."""
        ...

    def set_aux(self, aux: Aux, *, on: bool) -> None:
        """Switch one of `capabilities.aux`."""
        ...

    def close(self) -> None:
        """Stop the head and close the port. A second call does nothing."""
        ...


class GpioLine(msgspec.Struct, frozen=True, kw_only=True):
    """One pin and its use.

    `pin` is the chip's number (BCM on a Raspberry Pi). With `active_low` the pin is active at the
    low level. `pull` is of an input. An output is inactive when it is opened.
    """

    name: str
    pin: int
    direction: Literal["in", "out"]
    active_low: bool = False
    pull: Literal["up", "down", "none"] = "none"


class GpioEdge(msgspec.Struct, frozen=True, kw_only=True):
    """A change of an input at `t_ns` (CLOCK_BOOTTIME), not debounced."""

    name: str
    active: bool
    t_ns: int


class Gpio(Protocol):
    """The open pins of one box. One thread calls `read_edge`; any thread may call the rest.

    A driver's module has `Options` and `open_gpio(options, lines, clock_ns)`, which raises
    DriverError: `absent` if there is no chip or no pin of that number, `busy` if another process
    has the pin, and `unsupported` if this user has no permission or the pin cannot do this. After
    `close` every other method raises DriverError `closed`; after a fork, `unsupported`.
    """

    @property
    def dropped_edges(self) -> int:
        """The number of edges dropped since the pins were opened, because they were not read."""
        ...

    def read_edge(self, timeout_s: float) -> GpioEdge | None:
        """Return the next change of an input, or None if none came within `timeout_s` seconds.

        At most 1024 edges wait; beyond them the oldest are dropped. `is_active` then has the
        current state.
        """
        ...

    def wake(self) -> None:
        """Wake the reader: `read_edge`, or its next call, returns None without waiting."""
        ...

    def is_active(self, name: str) -> bool:
        """Return whether an input or an output is active now."""
        ...

    def set_output(self, name: str, *, active: bool) -> None:
        """Set an output active or inactive."""
        ...

    def close(self) -> None:
        """Set every output inactive and release the pins. A second call does nothing."""
        ...

"""What the agent asks of a device. `tests/contracts/` holds every driver to these words."""

from typing import Protocol

import msgspec

from drivers.media import Frame, Packet, Polygon, StreamInfo


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent wants from a camera, so that a driver does no work for nothing.

    `packets`: hand out the encoded stream. `frames_fps`: hand out decoded frames, this many a
    second of the stream's time at the most; 0 hands out none (nothing is decoded), infinity
    every one. `masks`: what nobody may see. They are burnt into every frame, and into the packets
    where the driver encodes them itself; packets that arrive encoded are handed out as they are.
    """

    packets: bool
    frames_fps: float
    masks: tuple[Polygon, ...] = ()


class Camera(Protocol):
    """One open video source. One thread reads it; `close` may come from another.

    A driver's module offers `Options`, a frozen msgspec struct, and
    `open_camera(name, options, wanted, clock_ns)`, which raises DriverError, and MaskRefused
    before the device is touched where a mask cannot be drawn. `clock_ns` reads
    CLOCK_BOOTTIME; it is given so that a test can hold it.
    """

    @property
    def info(self) -> StreamInfo:
        """The stream's parameters, known from the moment the camera is open."""
        ...

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """The next packet or frame, or None where none came within `timeout_s` seconds.

        Packets come in decoding order, frames in presentation order; `t_ns` never steps back
        within either. Raises DriverError: kind `ended` where the source has no more to give, and
        then again at each further call, and kind `absent` on a camera that is closed.
        """
        ...

    def close(self) -> None:
        """Let go of the device. A second call does nothing; a blocked `read` returns soon."""
        ...

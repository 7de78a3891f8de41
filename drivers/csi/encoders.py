"""H.264 of the main stream: the board's hardware encoder if it has one, otherwise libx264.

Picamera2 has a class for each and requires outputs and encoders of its own classes. The additions are
classes without a base here, which are combined with Picamera2's once it is loaded; so this module
needs no camera library.
"""

import fcntl
import importlib
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Protocol

import av
from av.video.frame import PictureType

from drivers.csi.options import Options
from drivers.errors import DriverError

EncoderKind = Literal["hardware", "libav"]

PacketCallback = Callable[[bytes, int, bool], None]
"""Gets an access unit, its picture's time in microseconds, and whether it is a keyframe."""

HARDWARE_DEVICE = Path("/dev/video11")
"""The encoder of CM4 and Pi 4, by the Raspberry Pi's kernel and by Picamera2."""

HARDWARE_DRIVER = b"bcm2835-codec"
HARDWARE_MAX_PX = 1920
"""The bcm2835 codec takes no wider and no higher picture."""

_VIDIOC_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct("16s32s32sII16x")
"""struct v4l2_capability of linux/videodev2.h: driver, card, bus_info, version, capabilities."""


class PicameraEncoder(Protocol):
    """The used part of Picamera2's encoders. Times are in microseconds."""

    firsttimestamp: int | None

    def force_key_frame(self) -> None:
        """The next picture becomes a keyframe."""
        ...


def has_hardware_encoder(device: Path = HARDWARE_DEVICE) -> bool:
    """Whether the board has a hardware encoder, by V4L2's QUERYCAP."""
    try:
        with device.open("rb+", buffering=0) as file:
            answer = fcntl.ioctl(file, _VIDIOC_QUERYCAP, bytes(_CAPABILITY.size))
    except OSError:
        return False
    driver, *_ = _CAPABILITY.unpack(answer)
    return bytes(driver).rstrip(b"\0") == HARDWARE_DRIVER


def choose_encoder(
    options: Options, size_px: tuple[int, int], *, has_hardware: bool, display_name: str
) -> EncoderKind:
    """Choose the encoder. Raises: DriverError `unsupported` if the requested one cannot do it."""
    if options.encoder == "libav":
        return "libav"
    if has_hardware and max(size_px) <= HARDWARE_MAX_PX:
        return "hardware"
    if options.encoder == "auto":
        return "libav"
    width, height = size_px
    reason = (
        f"cannot encode {width}x{height}" if has_hardware else "is not there (CM4 and Pi 4 have it)"
    )
    raise DriverError("unsupported", f"{display_name}: encoder = 'hardware': it {reason}")


def open_encoder(
    kind: EncoderKind, options: Options, fps: float, on_packet: PacketCallback
) -> tuple[PicameraEncoder, Any]:
    """Return an encoder for Picamera2 and its output. Called in the child alone."""
    settings: dict[str, Any] = {
        "bitrate": options.bitrate_kbit_s * 1000,
        "iperiod": max(1, round(options.gop_s * fps)),
        "framerate": fps,
        "repeat": True,
    }
    picamera2 = importlib.import_module("picamera2")
    outputs = importlib.import_module("picamera2.outputs")
    if kind == "hardware":
        module = importlib.import_module("picamera2.encoders.h264_encoder")
        encoder = module.H264Encoder(**settings)
    else:
        module = importlib.import_module("picamera2.encoders.libav_h264_encoder")
        settings["framerate"] = Fraction(fps).limit_denominator(1001)
        encoder_class = type(
            "Libx264",
            (SingleThreadMixin, module.LibavH264Encoder),
            {"mapped": picamera2.MappedArray},
        )
        encoder = encoder_class(**settings)
        encoder.threads = 1
        encoder.drop_final_frames = True
    output = type("PacketOutput", (PacketOutputMixin, outputs.Output), {})()
    output.on_packet = lambda data, time_us, is_key: on_packet(
        data, (encoder.firsttimestamp or 0) + time_us, is_key
    )
    return encoder, output


class PacketOutputMixin:
    """Combined with Picamera2's Output: each access unit goes to `on_packet`."""

    on_packet: PacketCallback

    def outputframe(
        self,
        frame: bytes,
        keyframe: bool = True,  # noqa: FBT001, FBT002 - Picamera2's signature
        timestamp: int | None = None,
        packet: object = None,
        audio: bool = False,  # noqa: FBT001, FBT002 - the same
    ) -> None:
        """Called on the encoder's thread. `timestamp` counts from the first picture's."""
        self.on_packet(bytes(frame), timestamp or 0, keyframe)


class SingleThreadMixin:
    """Combined with Picamera2's LibavH264Encoder: each picture is encoded to its packet at once.

    With one thread and no look-ahead libx264 delays nothing, and has copied the picture when it
    returns: the buffer returns to the camera at once. It takes NV12 directly, which Picamera2 would
    convert. Picamera2 0.3.38 requests keyframes by a string that PyAV 15 and later refuse; they take
    the enumeration.
    """

    mapped: Any
    width: int
    outputframe: Callable[..., None]
    _timestamp: Callable[[Any], int]
    _stream: Any
    _key_frames_requested: int
    _key_frames_generated: int

    def _start(self) -> None:
        super()._start()  # type: ignore[misc]
        self._stream.pix_fmt = "nv12"

    def _encode(self, stream: str, request: Any) -> None:
        with self.mapped(request, stream) as mapped:
            picture = av.VideoFrame.from_numpy_buffer(mapped.array, format="nv12", width=self.width)
            picture.pts = self._timestamp(request)
            if self._key_frames_requested > self._key_frames_generated:
                self._key_frames_generated = self._key_frames_requested
                picture.pict_type = PictureType.I
            for packet in self._stream.encode(picture):
                self.outputframe(bytes(packet), packet.is_keyframe, timestamp=packet.pts)

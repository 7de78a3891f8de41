"""The child that reads a network camera: it connects, demuxes, and decodes what is requested.

FFmpeg parses the camera's description, its packets and its pictures here, with no more rights than that takes.
The masks are painted in the parent.
"""

import threading
import time
from functools import partial

import msgspec
import numpy as np
from av.video.codeccontext import VideoCodecContext

from drivers.av_live import LiveCamera
from drivers.av_stream import VideoSource, open_container
from drivers.child import messages
from drivers.child.bounded_queue import MAX_PACKET_BYTES
from drivers.child.confinement import Confinement, confine
from drivers.child.control_channel import ControlChannel
from drivers.child.frame_memory import FrameMemory
from drivers.child.main import ChildEnd
from drivers.child.messages import SLOT_COUNT
from drivers.contracts import CameraReadings, StreamRequest
from drivers.errors import DriverError
from drivers.hardware_decoder import HardwareSource, open_v4l2_decoder
from drivers.media import Frame, Packet, StreamInfo

MAX_MEMORY_BYTES = 402_653_184
"""A decoder of 3840x2160 keeps up to 17 pictures of 12.4 MB, and the frames that are under way."""

HEARTBEAT_S = 1.0
"""Interval of the heartbeats of a child whose camera sends nothing."""

MAX_BURST_PACKETS = 64
SLOT_TIMEOUT_S = 1.0
"""The parent frees a slot as soon as it has copied the frame."""


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A stream to open. `url` may have a password, and is in no message.

    `tcp_port` is the only one that the child may connect to, and `decoder_device` the V4L2 decoder that it may use.
    """

    url: str
    av_options: dict[str, str]
    av_timeouts_s: tuple[float, float]
    open_timeout_s: float
    read_timeout_s: float
    can_pause: bool
    tcp_port: int
    decoder_device: str | None = None


def prepare() -> None:
    """Build the tables of the usual decoder, which all children share."""
    decoder = VideoCodecContext.create("h264", "r")
    decoder.thread_count = 1
    decoder.open()


def run(end: ChildEnd) -> None:
    """Read the stream until the parent's end is closed. Raises: DriverError."""
    settings = messages.from_raw(end.settings, messages.MediaSettings)
    options = messages.from_raw(settings.options, StreamOptions)
    device = options.decoder_device
    confine(
        Confinement(
            memory_bytes=MAX_MEMORY_BYTES,
            network="client",
            tcp_ports=(options.tcp_port,),
            decoder_devices=() if device is None else (device,),
        ),
        end,
    )
    frame_copier: _FrameCopier | None = None

    def watch_keyframe(frame: Frame) -> bool:
        return frame_copier is None or frame_copier.query_keyframe(frame)

    camera = LiveCamera(
        end.display_name,
        lambda: _open_source(end, options),
        StreamRequest(
            packets=settings.packets,
            frames_fps=settings.frames_fps,
            keyframe_watch=watch_keyframe if settings.query_keyframes else None,
        ),
        _boottime_ns,
        paint=lambda planes, _t_ns: planes,
        open_timeout_s=options.open_timeout_s,
        read_timeout_s=options.read_timeout_s,
        can_pause=options.can_pause,
    )
    closing = threading.Thread(target=_close_with_parent, args=(end, camera), daemon=True)
    closing.start()
    try:
        if settings.frames_fps > 0:
            frame_copier = _FrameCopier(end, camera.info)
        _deliver(end, camera, frame_copier)
    except DriverError as error:
        if error.kind != "closed":
            raise
    closing.join()


def _open_source(end: ChildEnd, options: StreamOptions) -> VideoSource:
    container = open_container(
        options.url, end.display_name, options=options.av_options, timeout=options.av_timeouts_s
    )
    if options.decoder_device is None:
        return VideoSource(container, end.display_name)
    return HardwareSource(
        container,
        end.display_name,
        partial(open_v4l2_decoder, options.decoder_device),
        lambda reason: _send_decoder_failure(end, reason),
    )


def _send_decoder_failure(end: ChildEnd, reason: str) -> None:
    end.send(messages.DecoderFailed(reason=reason[: messages.MAX_MESSAGE_CHARS]))


def _close_with_parent(end: ChildEnd, camera: LiveCamera) -> None:
    """Take leave of the server if the parent closes the camera."""
    end.wait_closed()
    camera.close()


def _deliver(end: ChildEnd, camera: LiveCamera, frame_copier: "_FrameCopier | None") -> None:
    """Send the camera's media, packets that are there at once in one piece."""
    info = camera.info
    is_open = end.send(
        messages.Opened(
            info=info,
            frame_width_px=info.width_px,
            frame_height_px=info.height_px,
            slots=SLOT_COUNT,
        )
    )
    while is_open:
        media = camera.read(HEARTBEAT_S)
        burst: list[msgspec.Struct] = []
        try:
            while isinstance(media, Packet):
                burst.append(_packet_message(end.display_name, media))
                media = camera.read(0.0) if len(burst) < MAX_BURST_PACKETS else None
            if media is not None and frame_copier is not None:
                burst.append(frame_copier.copy(media))
        finally:
            # Packets before the stream's end are not lost with it.
            is_open = end.send(*burst or (messages.Heartbeat(),))


def _packet_message(display_name: str, packet: Packet) -> messages.EncodedPacket:
    if len(packet.data) > MAX_PACKET_BYTES:
        raise DriverError(
            "protocol", f"{display_name}: sends a picture of {len(packet.data)} bytes"
        )
    return messages.EncodedPacket(packet=packet)


class _FrameCopier:
    """Copies frames into the shared memory."""

    def __init__(self, end: ChildEnd, info: StreamInfo) -> None:
        self._end = end
        self._display_name = end.display_name
        self._size_px = (info.width_px, info.height_px)
        (memory_fd,) = end.memory_fds
        FrameMemory.reserve(memory_fd, *self._size_px, SLOT_COUNT)
        self._memory = FrameMemory(memory_fd, *self._size_px, SLOT_COUNT)
        self._control = ControlChannel(end.control, SLOT_COUNT)
        self._dropped = 0

    def copy(self, frame: Frame) -> messages.FrameReady | messages.ReadingsUpdate:
        """Copy a frame, or count it as dropped if the parent is too late with all slots.

        Raises: DriverError if the stream has another size now, which the parent does not expect.
        """
        slot = self._copy_to_slot(frame)
        if slot is None:
            self._dropped += 1
            return messages.ReadingsUpdate(readings=CameraReadings(dropped_frames=self._dropped))
        return messages.FrameReady(slot=slot, seq=frame.seq, t_ns=frame.t_ns, is_late=frame.is_late)

    def query_keyframe(self, frame: Frame) -> bool:
        """Return whether the parent wants the pictures around a keyframe. Raises: as `copy`."""
        slot = self._copy_to_slot(frame)
        if slot is None:
            return True

        def send_query(number: int) -> None:
            self._end.send(messages.KeyframeQuery(number=number, slot=slot, t_ns=frame.t_ns))

        return self._control.query_keyframe(send_query)

    def _copy_to_slot(self, frame: Frame) -> int | None:
        """Copy a frame; return its slot, or None if the parent frees none in time. Raises: as `copy`."""
        if (frame.width_px, frame.height_px) != self._size_px:
            width_px, height_px = self._size_px
            raise DriverError(
                "protocol",
                f"{self._display_name}: its pictures are {frame.width_px}x{frame.height_px} now, "
                f"not {width_px}x{height_px}",
            )
        slot = self._control.acquire_slot(SLOT_TIMEOUT_S)
        if slot is not None:
            for target, plane in zip(
                self._memory.writable_planes(slot), (frame.y, frame.u, frame.v), strict=True
            ):
                np.copyto(target, plane)
        return slot


def _boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

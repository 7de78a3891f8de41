"""A stream that a V4L2 decoder of the board decodes, checked by the software decoder, which replaces it if it fails.

libavcodec's wrapper of stateful decoders (`h264_v4l2m2m`) waits without a limit for a decoder that has stalled, cannot be
flushed, and reports a picture's rows of padding as a part of it. So it is called on a thread of its own, with a time limit;
packets are numbered, so that no picture has another one's time; and its first keyframe is compared with that of the
software decoder before any picture is delivered. Decision 72 has the reasons.
"""

import os
import queue
import threading
from collections.abc import Callable
from fractions import Fraction

import av
import av.container
import av.error
import av.video.stream
import numpy as np
from av.video.codeccontext import VideoCodecContext

from drivers.av_stream import VideoPacket, VideoSource, frame_planes
from drivers.errors import errno_text
from drivers.media import Planes

CODECS = {"h264": "h264_v4l2m2m"}
"""libavcodec's wrappers by codec. HEVC decoders of boards are stateless, which it has no wrapper for."""

CALL_TIMEOUT_S = 5.0
"""Of one packet. The parent of a stream's child waits for twice as long until it counts as hanging."""

MAX_SILENT_PACKETS = 50
"""Packets without a picture. A decoder has 16 buffers for packets and holds back as many pictures at most."""

MAX_PADDING_PX = 63
"""Rows and columns that a decoder adds to fill its blocks: 1080 rows are 1088."""

_NUMBER_TIME_BASE = Fraction(1, 1_000_000)
"""V4L2 carries microseconds, so that numbers come back as they are."""
_START_CODES = (b"\0\0\1", b"\0\0\0\1")


class HardwareFailure(Exception):
    """The reason why the decoder of the board is not used."""


def open_v4l2_decoder(device: str, stream: av.video.stream.VideoStream) -> VideoCodecContext:
    """Open the decoder of a stream. Blocks. Raises: HardwareFailure.

    libavcodec takes the first device that it can open: the sandbox of the process leaves it this one.
    """
    source = stream.codec_context
    codec = CODECS.get(source.codec.canonical_name)
    if codec is None:
        allowed = ", ".join(CODECS)
        raise HardwareFailure(
            f"cannot decode {source.codec.canonical_name} here; allowed: {allowed}"
        )
    try:
        os.close(os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        raise HardwareFailure(errno_text(error.errno, "video device", "video")) from error
    decoder: VideoCodecContext = VideoCodecContext.create(codec, "r")  # type: ignore[assignment] # of a video codec
    decoder.extradata = source.extradata
    decoder.width, decoder.height = source.width, source.height
    decoder.pix_fmt = "yuv420p"
    decoder.pkt_timebase = _NUMBER_TIME_BASE
    try:
        decoder.open()
    except av.error.FFmpegError as error:
        raise HardwareFailure("is no decoder that libavcodec can use") from error
    return decoder


class HardwareSource(VideoSource):
    """A VideoSource whose pictures come from a decoder of the board until that fails, and then from the software decoder.

    Pictures of the board's decoder may come with a later packet. `on_failure` is called once, with the reason; pictures
    continue with the next keyframe. Not thread-safe.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        display_name: str,
        open_decoder: Callable[[av.video.stream.VideoStream], VideoCodecContext],
        on_failure: Callable[[str], None],
        *,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        super().__init__(container, display_name)
        stream = self.stream
        extradata = stream.codec_context.extradata or b""
        self._parameter_sets = extradata if extradata.startswith(_START_CODES) else b""
        self._stored_size_px = (stream.codec_context.width, stream.codec_context.height)
        self._decoder: _DecoderThread | None = _DecoderThread(
            lambda: open_decoder(stream), timeout_s
        )
        self._on_failure = on_failure
        self._number = 0
        self._pending: dict[int, VideoPacket] = {}
        """The packets whose pictures have not come, by number."""
        self._silent_packets = 0
        self._reference: tuple[VideoPacket, av.VideoFrame] | None = None
        """A keyframe and its picture of the software decoder, until the first picture of the board's has been compared."""
        self._is_checked = False
        self._awaits_keyframe = False

    def decode(self, packet: VideoPacket) -> list[av.VideoFrame]:
        """Return the pictures that have come, in presentation order. Raises: as VideoSource."""
        if self._decoder is not None:
            try:
                return self._decode_by_hardware(self._decoder, packet)
            except HardwareFailure as failure:
                self._give_up(self._decoder, failure)
        if self._awaits_keyframe and not packet.is_keyframe:
            return []
        self._awaits_keyframe = False
        return super().decode(packet)

    def decode_alone(self, packet: VideoPacket) -> list[av.VideoFrame]:
        """Return the picture of a keyframe, by the software decoder.

        The board's decoder cannot be drained and used again: it continues with the next keyframe that it is given, and
        what it still holds is left out. Raises: as VideoSource.
        """
        self._silent_packets, self._reference = 0, None
        self._pending.clear()
        pictures = super().decode_alone(packet)
        is_needed = self._decoder is not None and not self._is_checked
        if is_needed and pictures and not pictures[-1].is_corrupt:
            self._reference = (packet, pictures[-1])
        return pictures

    def planes(self, picture: av.VideoFrame) -> Planes:
        """Return the planes of a picture as they are displayed, without padding."""
        return self.orientation.turn_planes(self._cropped_planes(picture))

    def close(self) -> None:
        """Close the container and the decoder. No other method may be running."""
        super().close()
        if self._decoder is not None:
            self._decoder.close()

    def _decode_by_hardware(
        self, decoder: "_DecoderThread", packet: VideoPacket
    ) -> list[av.VideoFrame]:
        if not self._is_checked and self._reference is None:
            if packet.is_keyframe:
                self.decode_alone(packet)
            if self._reference is None:
                return []
        if self._silent_packets >= MAX_SILENT_PACKETS:
            raise HardwareFailure(f"gave no picture for {MAX_SILENT_PACKETS} packets")
        self._silent_packets += 1
        self._number += 1
        self._pending[self._number] = packet
        self._pending.pop(self._number - MAX_SILENT_PACKETS, None)
        return [one for one in decoder.decode(self._numbered(packet)) if self._take(one)]

    def _numbered(self, packet: VideoPacket) -> VideoPacket:
        """Return a copy of a packet with its number as its time, a keyframe with the parameter sets.

        A decoder of V4L2 gets no others than those that are in the stream.
        """
        data = bytes(packet)
        if packet.is_keyframe:
            data = self._parameter_sets + data
        numbered: VideoPacket = av.Packet(data)  # type: ignore[assignment] # of a video stream
        numbered.pts = numbered.dts = self._number
        numbered.time_base = _NUMBER_TIME_BASE
        numbered.is_keyframe = packet.is_keyframe
        return numbered

    def _take(self, picture: av.VideoFrame) -> bool:
        """Give a picture the times of its packet. Return False if it is not to be delivered.

        Raises: HardwareFailure if it is wrong.
        """
        packet = self._pending.pop(picture.pts or 0, None)
        if packet is None:
            return False
        picture.pts, picture.dts = packet.pts, packet.dts
        picture.key_frame = packet.is_keyframe  # type: ignore[misc] # its stub knows no setter
        if picture.is_corrupt:
            return self._is_checked
        if self._reference is not None and packet is self._reference[0]:
            self._check(picture, self._reference[1])
            self._reference, self._is_checked = None, True
        if self._is_checked:
            self._silent_packets = 0
        return self._is_checked

    def _check(self, picture: av.VideoFrame, reference: av.VideoFrame) -> None:
        """Raises: HardwareFailure if two pictures of one keyframe differ, which the standard of H.264 does not allow."""
        for one, other in zip(self._cropped_planes(picture), frame_planes(reference), strict=True):
            if not np.array_equal(one, other):
                raise HardwareFailure("its picture is not that of the software decoder")

    def _cropped_planes(self, picture: av.VideoFrame) -> Planes:
        """Return the stored planes; a picture of quite another size stays as it is, and the stream is opened again."""
        planes = frame_planes(picture)
        width_px, height_px = self._stored_size_px
        if not (
            0 <= picture.width - width_px <= MAX_PADDING_PX
            and 0 <= picture.height - height_px <= MAX_PADDING_PX
        ):
            return planes
        y, u, v = planes
        half = (slice((height_px + 1) // 2), slice((width_px + 1) // 2))
        return y[:height_px, :width_px], u[half], v[half]

    def _give_up(self, decoder: "_DecoderThread", failure: HardwareFailure) -> None:
        decoder.close()
        self._decoder = self._reference = None
        self._pending.clear()
        self._awaits_keyframe = True
        self._on_failure(str(failure))


class _DecoderThread:
    """A decoder and the thread that opens, calls and closes it. If a call never returns, the thread is left behind.

    It ends with the process then, which the parent of a stream's child ends with the camera.
    """

    def __init__(self, open_decoder: Callable[[], VideoCodecContext], timeout_s: float) -> None:
        self._open_decoder = open_decoder
        self._timeout_s = timeout_s
        self._packets: queue.SimpleQueue[VideoPacket | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[list[av.VideoFrame] | Exception] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="hardware decoder", daemon=True)

    def decode(self, packet: VideoPacket) -> list[av.VideoFrame]:
        """Return the pictures that have come. Raises: InvalidDataError of PyAV, HardwareFailure."""
        if self._thread.ident is None:
            self._thread.start()
        self._packets.put(packet)
        try:
            answer = self._answers.get(timeout=self._timeout_s)
        except queue.Empty:
            raise HardwareFailure(f"has stalled for {self._timeout_s:g} s") from None
        if isinstance(answer, HardwareFailure | av.error.InvalidDataError):
            raise answer
        if isinstance(answer, Exception):
            raise HardwareFailure(f"failed: {answer}") from answer
        return answer

    def close(self) -> None:
        """Have the thread close the decoder, once it returns."""
        self._packets.put(None)

    def _run(self) -> None:
        decoder: VideoCodecContext | None = None
        while (packet := self._packets.get()) is not None:
            try:
                decoder = decoder or self._open_decoder()
                self._answers.put(decoder.decode(packet))
            except (av.error.FFmpegError, HardwareFailure) as error:
                self._answers.put(error)

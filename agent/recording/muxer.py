"""Muxer of packets into fragmented MP4, one fragment per group of pictures.

The bytes are written in order and never changed afterwards: a file that is cut anywhere plays up to
its last whole fragment.
"""

import contextlib
from collections.abc import Callable
from fractions import Fraction

import av
from av.container import OutputContainer

from agent.base.message import Message
from agent.recording.annex_b import (
    has_parameter_sets,
    parse_extradata,
    sequence_set,
    to_annex_b,
)
from agent.recording.encryption.keys import KEY_BYTES, SegmentKey
from drivers.media import Packet, StreamInfo

TIMESCALE_HZ = 90_000
_TIME_BASE = Fraction(1, TIMESCALE_HZ)
_BUFFER_BYTES = 1 << 18

_MUX_OPTIONS = {
    "movflags": "empty_moov+frag_keyframe+default_base_moof",
    # Without it libavformat delays a finished fragment until its buffer is full.
    "flush_packets": "1",
}

_ENCRYPTABLE_CODECS = frozenset({"h264", "hevc", "mjpeg", "mpeg4"})
"""Codecs that libavformat encrypts except for the NAL units' headers. It leaves most of AV1 in the
clear."""


class MuxerError(Exception):
    """MP4 cannot carry this stream, or this packet of it. The message is one line."""


class NoKeyframe(MuxerError):
    """The stream has had no keyframe for too long."""


class _ForwardOnlyFile:
    """Output file of libavformat.

    It has no `seek`, which forces the muxer to one pass.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self.enabled = True

    def write(self, data: bytes) -> int:
        if self.enabled:
            self._write(data)
        return len(data)


class Muxer:
    """Muxer of one file. Its first packet is a keyframe.

    `write` gets the file's bytes in order; its exceptions pass through `add` and `close`. With a `key`
    the frames are encrypted by Common Encryption (ISO/IEC 23001-7, `cenc`): each fragment has in its
    `moof` the data to decrypt it, so a file that is cut anywhere can be decrypted as far as it plays.
    Raises MuxerError if MP4 cannot carry the codec, or not encrypted.
    """

    def __init__(
        self, info: StreamInfo, write: Callable[[bytes], None], key: SegmentKey | None = None
    ) -> None:
        if info.codec == "rawvideo":
            raise MuxerError(
                Message("the camera sends raw frames (rawvideo), not an encoded stream")
            )
        if key is not None and info.codec not in _ENCRYPTABLE_CODECS:
            raise MuxerError(Message("a stream of {codec!r} cannot be sealed", codec=info.codec))
        self._codec = info.codec
        try:
            self._packet_format = parse_extradata(info.codec, info.extradata)
        except ValueError as error:
            raise MuxerError(
                Message("the stream's parameter sets are damaged: {reason}", reason=str(error))
            ) from error
        self._output_file = _ForwardOnlyFile(write)
        self._container: OutputContainer = av.open(
            self._output_file,
            "w",
            format="mp4",
            options=_mux_options(key),
            buffer_size=_BUFFER_BYTES,
        )
        try:
            self._stream = self._container.add_mux_stream(
                info.codec,
                rate=Fraction(info.fps).limit_denominator(1001) if info.fps > 0 else None,
                width=info.width_px,
                height=info.height_px,
                time_base=_TIME_BASE,
            )
        except ValueError as error:
            raise MuxerError(
                Message("MP4 cannot carry a stream of {codec!r}", codec=info.codec)
            ) from error
        self._frame_ticks = round(TIMESCALE_HZ / info.fps) if info.fps > 0 else 0
        self._base_dts_ns: int | None = None
        self._last_dts = -1
        self._sequence_set: bytes | None = None

    def write_header(self) -> None:
        """Write the header before the first packet. Raises MuxerError if MP4 cannot carry the codec."""
        try:
            self._container.start_encoding()
        except av.FFmpegError as error:
            raise MuxerError(
                Message(
                    "MP4 cannot carry a stream of {codec!r}: {reason}",
                    codec=self._codec,
                    reason=str(error),
                )
            ) from error

    def continues(self, packet: Packet) -> bool:
        """Return False if a keyframe has another sequence parameter set than the file.

        A player shows nothing, or garbage, from where a camera has changed its resolution in a file.
        """
        if not packet.is_key or self._sequence_set is None:
            return True
        try:
            own_set = sequence_set(self._codec, self._to_annex_b(packet.data))
        except ValueError:
            return True  # `add` raises for a damaged packet
        return own_set is None or own_set == self._sequence_set

    def add(self, packet: Packet) -> None:
        """Add the next packet. A keyframe completes the fragment before it.

        Raises MuxerError if the packet is damaged, and the exceptions of `write`.
        """
        try:
            data = self._to_annex_b(packet.data)
        except ValueError as error:
            raise MuxerError(Message("a packet is damaged: {reason}", reason=str(error))) from error
        if self._base_dts_ns is None:
            self._base_dts_ns = packet.dts_ns
            data = self._with_parameter_sets(data)
            self._sequence_set = sequence_set(self._codec, data)
        # MP4 requires increasing decode times; a camera whose clock is stopped advances by one tick.
        dts = max(_to_ticks(packet.dts_ns - self._base_dts_ns), self._last_dts + 1)
        self._last_dts = dts
        av_packet = av.Packet(data)
        av_packet.dts = dts
        av_packet.pts = max(dts, _to_ticks(packet.pts_ns - self._base_dts_ns))
        av_packet.duration = self._frame_ticks
        av_packet.time_base = _TIME_BASE
        av_packet.is_keyframe = packet.is_key
        av_packet.stream = self._stream
        try:
            self._container.mux_one(av_packet)
        except av.FFmpegError as error:
            raise MuxerError(
                Message("the muxer rejects a packet: {reason}", reason=str(error))
            ) from error

    def close(self) -> None:
        """Write the last fragment and the index."""
        try:
            self._container.close()
        except av.FFmpegError as error:
            raise MuxerError(
                Message("the muxer cannot finish the file: {reason}", reason=str(error))
            ) from error

    def abandon(self) -> None:
        """Release all resources and write nothing more."""
        self._output_file.enabled = False
        with contextlib.suppress(av.FFmpegError):
            self._container.close()

    def _to_annex_b(self, data: bytes) -> bytes:
        """Return a packet as the muxer takes it. Raises ValueError if it is damaged."""
        length_bytes = self._packet_format.length_bytes
        return data if length_bytes is None else to_annex_b(data, length_bytes)

    def _with_parameter_sets(self, data: bytes) -> bytes:
        """Return the first packet with parameter sets: its own, which may be newer, or the stream's."""
        sets = self._packet_format.parameter_sets
        if data.startswith(sets) or has_parameter_sets(self._codec, data):
            return data
        return sets + data


def check_stream(info: StreamInfo, *, sealed: bool = False) -> None:
    """Raise MuxerError if MP4 cannot carry the stream, or not encrypted."""
    key = SegmentKey(bytes(KEY_BYTES)) if sealed else None
    muxer = Muxer(info, lambda _: None, key)
    try:
        muxer.write_header()
    finally:
        muxer.abandon()


def _mux_options(key: SegmentKey | None) -> dict[str, str]:
    if key is None:
        return _MUX_OPTIONS
    return _MUX_OPTIONS | {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": key.key.hex(),
        "encryption_kid": key.kid.hex(),
    }


def _to_ticks(duration_ns: int) -> int:
    """Convert nanoseconds to ticks of 90 kHz (ISO/IEC 13818-1)."""
    return (duration_ns * TIMESCALE_HZ + 500_000_000) // 1_000_000_000

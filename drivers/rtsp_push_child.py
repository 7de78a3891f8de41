"""The child that pushes an encoded stream to a video server: RTSP ANNOUNCE and RECORD, over TCP or TLS.

FFmpeg parses the server's answers here, with no more rights than that takes. A server that takes no data
blocks this process alone.
"""

from fractions import Fraction
from typing import TypeAlias

import av
import av.logging
import msgspec
from av.container import OutputContainer

from drivers.av_stream import to_driver_error
from drivers.child import messages
from drivers.child.confinement import Confinement, confine
from drivers.child.main import ChildEnd
from drivers.errors import DriverError
from drivers.media import NS_PER_S, Packet

MAX_MEMORY_BYTES = 134_217_728
TIMESCALE_HZ = 90_000
_TIME_BASE = Fraction(1, TIMESCALE_HZ)
_TLS_LOG = "tls"
"""The part of FFmpeg that logs why a certificate is refused; its error is no more than EIO."""


class PushSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The server and the stream. `url` may have a password, and is in no message.

    `tcp_port` is the only one that the child may connect to. `ca_file` has the authorities of a server's
    certificate.
    """

    url: str
    tcp_port: int
    ca_file: str
    codec: str
    width_px: int
    height_px: int
    fps: float
    open_timeout_s: float


class PushReady(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The child waits for the first packet, which it connects with."""


class PushStarted(msgspec.Struct, frozen=True, kw_only=True, tag="started"):
    """The server has accepted the stream."""


class PacketSent(msgspec.Struct, frozen=True, kw_only=True, tag="sent"):
    """The kernel has taken one more packet."""


PushMessage: TypeAlias = PushReady | PushStarted | PacketSent

push_decoder: msgspec.msgpack.Decoder[PushMessage | messages.Failed] = msgspec.msgpack.Decoder(
    PushMessage | messages.Failed
)
_packet_decoder: msgspec.msgpack.Decoder[Packet] = msgspec.msgpack.Decoder(Packet)


def prepare() -> None:
    """Everything is loaded by the imports."""


def run(end: ChildEnd) -> None:
    """Push the parent's packets until its end is closed. Raises: DriverError."""
    settings = messages.from_raw(end.settings, PushSettings)
    confine(
        Confinement(
            memory_bytes=MAX_MEMORY_BYTES,
            network="client",
            tcp_ports=(settings.tcp_port,),
            readable_files=(settings.ca_file,),
        ),
        end,
    )
    av.logging.set_level(av.logging.ERROR)
    push = _Push(end, settings)
    end.send(PushReady())
    for packet in end.read_stream(_packet_decoder):
        push.send(packet)
    push.close()


class _Push:
    """The connection to the server. It is made with the first packet, which has the parameter sets."""

    def __init__(self, end: ChildEnd, settings: PushSettings) -> None:
        self._end = end
        self._display_name = end.display_name
        self._container: OutputContainer = av.open(
            settings.url,
            "w",
            format="rtsp",
            options={"rtsp_transport": "tcp", "tls_verify": "1", "ca_file": settings.ca_file},
            timeout=(settings.open_timeout_s, None),
        )
        self._stream = self._container.add_mux_stream(
            settings.codec,
            rate=Fraction(settings.fps).limit_denominator(1001) if settings.fps > 0 else None,
            width=settings.width_px,
            height=settings.height_px,
            time_base=_TIME_BASE,
        )
        self._first_dts_ns: int | None = None
        self._last_dts = -1

    def send(self, packet: Packet) -> None:
        """Send a packet, after the connection if it is the first. Blocks while the server takes no data.

        Raises: DriverError.
        """
        is_first = self._first_dts_ns is None
        if self._first_dts_ns is None:
            self._first_dts_ns = packet.dts_ns
        dts = max(_to_ticks(packet.dts_ns - self._first_dts_ns), self._last_dts + 1)
        self._last_dts = dts
        av_packet = av.Packet(packet.data)
        av_packet.dts = dts
        av_packet.pts = max(dts, _to_ticks(packet.pts_ns - self._first_dts_ns))
        av_packet.time_base = _TIME_BASE
        av_packet.is_keyframe = packet.is_key
        av_packet.stream = self._stream
        with av.logging.Capture() as logs:
            try:
                self._container.mux_one(av_packet)
            except (av.FFmpegError, ValueError, MemoryError) as error:
                raise self._describe(error, logs) from None
        if is_first:
            self._end.send(PushStarted())
        self._end.send(PacketSent())

    def close(self) -> None:
        """Take leave of the server, which the parent does not wait for."""
        try:
            self._container.close()
        except av.FFmpegError as error:
            raise to_driver_error(error, self._display_name) from None

    def _describe(self, error: Exception, logs: list[tuple[int, str, str]]) -> DriverError:
        tls_lines = [text.strip() for _, name, text in logs if name == _TLS_LOG]
        if tls_lines:
            return DriverError("protocol", f"{self._display_name}: TLS: {tls_lines[-1]}")
        return to_driver_error(error, self._display_name)


def _to_ticks(duration_ns: int) -> int:
    return duration_ns * TIMESCALE_HZ // NS_PER_S

"""A network camera: RTSP over TCP or UDP.

```toml
[[camera]]
name = "tram"
driver = "rtsp"

[camera.options]
url = "rtsp://camera.example:554/stream1"
transport = "tcp"
username = "vigie"
password_file = "/etc/vigie/tram.password"
open_timeout_s = 10
read_timeout_s = 5
# decoder_device = "/dev/video10"
```

The password may be in the address instead; it is in no message. The server chooses digest or basic
authentication. The stream is read in a child process ([`drivers/stream_child.py`](../stream_child.py)), since
what a camera sends is hostile until it is checked. An ended or silent stream is a DriverError, and the caller opens the camera again.
`t_ns` is the arrival of the picture less the network's delay: see `drivers.timeline.StreamTimeline`.

With `decoder_device` a V4L2 decoder of the board decodes. Once it has failed the software decoder does, until the program
ends: a decoder that stalls once does so again, and each time costs seconds of pictures.
"""

import logging
import re
from collections.abc import Callable
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from drivers.addresses import validate_url
from drivers.child.camera import ChildCamera, ChildPolicy
from drivers.child.fork_server import ForkServer
from drivers.contracts import StreamRequest
from drivers.errors import DriverError
from drivers.media import NS_PER_S, Frame, Packet
from drivers.onvif.credentials import read_password
from drivers.stream_child import HEARTBEAT_S, StreamOptions

log = logging.getLogger(__name__)

Timeout = Annotated[float, msgspec.Meta(ge=0.5, le=20)]

_SECRET_PATTERN = re.compile(r"(pass\w*|pwd)=[^&/;]*", re.IGNORECASE)

LIBAV_EXTRA_TIMEOUT_S = 1.0
"""libav's own timeouts are longer than the driver's, so that the driver's error is raised."""

DEFAULT_PORT = 554
START_MARGIN_S = 10.0
"""Time for the fork server to load its libraries, on top of `open_timeout_s`."""
HANG_S = 10.0
"""Time without a heartbeat after which the child hangs."""
MAX_CORES = 1.5
"""The child has one thread that demuxes and one that decodes."""

FORK_SERVER = ForkServer("drivers.stream_child")
"""Of all network cameras without a hardware decoder."""
HARDWARE_FORK_SERVER = ForkServer("drivers.hardware_stream_child")
_decoder_failures: dict[str, str] = {}
"""The reason why the hardware decoder of a camera is not used any more, by the camera's name in messages."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`open_timeout_s` bounds the opening, `read_timeout_s` the silence of the stream. `decoder_device` is a V4L2 decoder of the board."""

    url: Annotated[
        str, msgspec.Meta(pattern=r"^rtsp://[^/\s]", extra={"allowed": "rtsp://HOST[:PORT]/PATH"})
    ]
    transport: Literal["tcp", "udp"] = "tcp"
    username: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    password_file: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    open_timeout_s: Timeout = 10.0
    read_timeout_s: Timeout = 5.0
    decoder_device: (
        Annotated[
            str,
            msgspec.Meta(
                pattern=r"^/dev/video[0-9]{1,3}$(?!\n)",
                extra={"allowed": "a path such as /dev/video10"},
            ),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        """Check what no single field shows."""
        validate_url(self.url, "rtsp://HOST[:554]/PATH")
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file go together: give both or neither")
        if self.username is not None and "@" in urlsplit(self.url).netloc:
            raise ValueError("username is given, and url has one too: give it once")


def open_camera(
    name: str, options: Options, request: StreamRequest, clock_ns: Callable[[], int]
) -> ChildCamera:
    """Connect and wait for the stream's parameters.

    Raises: DriverError absent (host, port or path), protocol (password refused, not RTSP), timeout, crashed.
    """
    display_name = f"camera {name!r}: {redacted_url(options.url)}"
    policy = ChildPolicy(
        open_timeout_s=options.open_timeout_s + START_MARGIN_S,
        silence_limits_ns={object: round((HEARTBEAT_S + HANG_S) * NS_PER_S)},
        silence_kind="crashed",
        masks_in_child=False,
        max_cores=MAX_CORES,
    )
    stream_options = _stream_options(options, display_name)
    if options.decoder_device is not None:
        decoder_name = f"camera {name!r}: device {options.decoder_device!r}"
        failure = _decoder_failures.get(decoder_name)
        if failure is None:
            return HardwareDecodedCamera(
                decoder_name, display_name, stream_options, request, clock_ns, policy
            )
        _report_failure(request, decoder_name, failure)
        stream_options = msgspec.structs.replace(stream_options, decoder_device=None)
    return ChildCamera(
        display_name, stream_options, request, clock_ns, FORK_SERVER.start_child, policy
    )


class HardwareDecodedCamera(ChildCamera):
    """A camera with a decoder of the board. Its first failure is remembered, also if it ends the child."""

    def __init__(
        self,
        decoder_name: str,
        display_name: str,
        options: StreamOptions,
        request: StreamRequest,
        clock_ns: Callable[[], int],
        policy: ChildPolicy,
    ) -> None:
        self._decoder_name = decoder_name
        super().__init__(
            display_name, options, request, clock_ns, HARDWARE_FORK_SERVER.start_child, policy
        )

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """Return the next packet or frame, or None. Raises: DriverError as ChildCamera."""
        try:
            return super().read(timeout_s)
        except DriverError as error:
            if error.kind in ("crashed", "stuck") and self._request.frames_fps > 0:
                self._on_decoder_failure("its process ended while it decoded")
            raise

    def _on_decoder_failure(self, reason: str) -> None:
        if self._decoder_name not in _decoder_failures:
            _decoder_failures[self._decoder_name] = reason
            _report_failure(self._request, self._decoder_name, reason)


def _report_failure(request: StreamRequest, decoder_name: str, reason: str) -> None:
    log.warning("%s: %s: decoding in software", decoder_name, reason)
    if request.on_decoder_failure is not None:
        request.on_decoder_failure(DriverError("unsupported", f"{decoder_name}: {reason}"))


def redacted_url(url: str) -> str:
    """Return the address for messages: without user, password and query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, _SECRET_PATTERN.sub(r"\1=...", parts.path), "", ""))


def url_with_credentials(options: Options, display_name: str) -> str:
    """Return the address for libav. Raises: DriverError as `read_password`."""
    if options.username is None or options.password_file is None:
        return options.url
    password = read_password(options.password_file, display_name)
    parts = urlsplit(options.url)
    user = f"{quote(options.username, safe='')}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc}"))


def _stream_options(options: Options, display_name: str) -> StreamOptions:
    """Return how the child opens the stream: with little probing, as the description has the parameters.

    libav would otherwise read 20 frames to guess the rate, which takes a second or more.
    """
    return StreamOptions(
        url=url_with_credentials(options, display_name),
        av_options={"rtsp_transport": options.transport, "fpsprobesize": "0"},
        av_timeouts_s=(
            options.open_timeout_s + LIBAV_EXTRA_TIMEOUT_S,
            options.read_timeout_s + LIBAV_EXTRA_TIMEOUT_S,
        ),
        open_timeout_s=options.open_timeout_s,
        read_timeout_s=options.read_timeout_s,
        can_pause=options.transport == "tcp",
        tcp_port=urlsplit(options.url).port or DEFAULT_PORT,
        decoder_device=options.decoder_device,
    )

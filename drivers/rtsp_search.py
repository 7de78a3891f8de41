"""RTSP servers of a subnet, found by one OPTIONS request to each address.

Nothing is played and no password is sent. Many addresses are probed at a time, each with a short
timeout.
"""

import errno
import ipaddress
import re
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import msgspec

from drivers.errors import DriverError

PORTS = (554, 8554)
MIN_PREFIX_LENGTH = 22
"""A larger subnet, of more than 1024 addresses, is not searched."""
CONNECT_TIMEOUT_S = 0.7
ANSWER_TIMEOUT_S = 2.0
MAX_CONNECTIONS = 64
MAX_ANSWER_BYTES = 4096

_STATUS = re.compile(rb"RTSP/\d\.\d (?P<code>\d{3})(?: [^\r\n]*)?\r?\n")
_SERVER = re.compile(rb"^server:[ \t]*(?P<name>[^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_UNREACHABLE_ERRNOS = (errno.ENETUNREACH, errno.ENETDOWN, errno.EACCES, errno.EPERM)


class FoundRtspServer(msgspec.Struct, frozen=True, kw_only=True):
    """One open port. `status` is None if no RTSP answer came from it."""

    host: str
    port: int
    status: int | None = None
    server: str | None = None

    @property
    def url(self) -> str:
        """The URL without its path, which only the camera's manual or ONVIF has."""
        return f"rtsp://{self.host}:{self.port}/"


def search_subnet(
    subnet: ipaddress.IPv4Network,
    ports: Sequence[int] = PORTS,
    *,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
) -> tuple[FoundRtspServer, ...]:
    """Return the servers that accept a connection, in the order of their addresses.

    Raises DriverError: `unsupported` if the subnet is too large, and `absent` if this box has no route
    to it.
    """
    if subnet.prefixlen < MIN_PREFIX_LENGTH:
        raise DriverError(
            "unsupported", f"subnet {subnet}: too large; allowed: at most a /{MIN_PREFIX_LENGTH}"
        )
    targets = [(str(host), port) for host in subnet.hosts() for port in ports]
    pool = ThreadPoolExecutor(MAX_CONNECTIONS, "rtsp search")
    try:
        answers = list(
            pool.map(lambda one: _probe_host(one, connect_timeout_s, answer_timeout_s), targets)
        )
    finally:
        pool.shutdown(cancel_futures=True)
    failures = [answer for answer in answers if isinstance(answer, OSError)]
    if len(failures) == len(answers) and all(one.errno in _UNREACHABLE_ERRNOS for one in failures):
        raise DriverError("absent", f"subnet {subnet}: {failures[0].strerror}") from failures[0]
    return tuple(answer for answer in answers if isinstance(answer, FoundRtspServer))


def options_request(host: str, port: int) -> bytes:
    """Return the OPTIONS request of RFC 2326, 10.1. Pure."""
    return (
        f"OPTIONS rtsp://{host}:{port}/ RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: vigie\r\n\r\n".encode()
    )


def parse_answer(host: str, port: int, answer: bytes) -> FoundRtspServer:
    """Parse an answer to `options_request`. Pure."""
    status = _STATUS.match(answer)
    if status is None:
        return FoundRtspServer(host=host, port=port)
    server = _SERVER.search(answer)
    return FoundRtspServer(
        host=host,
        port=port,
        status=int(status["code"]),
        server=server["name"].decode("utf-8", "replace").strip() or None if server else None,
    )


def _probe_host(
    address: tuple[str, int], connect_timeout_s: float, answer_timeout_s: float
) -> FoundRtspServer | OSError:
    host, port = address
    try:
        connection = socket.create_connection(address, timeout=connect_timeout_s)
    except OSError as error:
        return error
    answer = b""
    deadline_s = monotonic() + answer_timeout_s
    with connection:
        connection.settimeout(answer_timeout_s)
        try:
            connection.sendall(options_request(host, port))
            while len(answer) < MAX_ANSWER_BYTES and b"\r\n\r\n" not in answer:
                connection.settimeout(max(deadline_s - monotonic(), 0.001))
                more = connection.recv(MAX_ANSWER_BYTES)
                if not more:
                    break
                answer += more
        except OSError:
            pass  # the bytes received so far are the answer
    return parse_answer(host, port, answer)

"""Wire between the page's web process and its act server: one request and its replies over a unix(7) socket.

A request is one line of JSON, and may pass one open file. The replies are one line of JSON each; the connection is
closed after the last one. A reply may pass one open file too.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.console.page_wire import ACTS_SOCKET_NAME
from agent.faults.texts import Language

MAX_REQUEST_BYTES = 1 << 17
MAX_REPLY_BYTES = 1 << 22
_READ_BYTES = 65_536
MAX_ACTS, MAX_UPLOAD_BYTES = 256, 2_000_000_000
MAX_ACT_TIMEOUT_S = 3600.0
DEFAULT_TIMEOUT_S = 45.0
"""More than an agent's answer may take: then the act has its own words for it."""
LIST_ACTS = "acts"
"""The request for the kinds of all acts, which is no act itself."""
_NULL = msgspec.Raw(b"null")

ActErrorCode = Literal[
    "agent_down", "busy", "failed", "malformed", "no_receipt", "refused", "unknown"
]


ReplyKind: TypeAlias = Literal["value", "lines", "picture", "file"]


class ActKind(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The reply of an act, and its bounds.

    value    one value
    lines    one value after the other
    picture  a JPEG and its readings
    file     an open file to download

    With `upload_max_bytes` the request brings a file of at most that size. An act that `is_urgent` waits neither for
    other acts nor for the rate of its session.
    """

    reply: ReplyKind = "value"
    upload_max_bytes: Annotated[int, msgspec.Meta(ge=0, le=MAX_UPLOAD_BYTES)] = 0
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=MAX_ACT_TIMEOUT_S)] = DEFAULT_TIMEOUT_S
    is_urgent: bool = False


ActName: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,32}$(?!\n)")]
ActKinds: TypeAlias = Annotated[dict[ActName, ActKind], msgspec.Meta(max_length=MAX_ACTS)]


class ActRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for an act, with its arguments; texts of the replies are in `language`.

    `upload_bytes` is the size of the file that comes along, 0 without one.
    """

    act: str
    args: msgspec.Raw
    language: Language
    upload_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0


class ActError(msgspec.Struct, frozen=True, kw_only=True):
    """The reason why an act is not done, in one line. `fault` is the fault code behind it.

    agent_down  it needs the running agent
    busy        another act of its kind runs
    failed      the disk or a device refuses it
    malformed   its arguments are not those of the act
    no_receipt  its receipt cannot be written, so nothing is done
    refused     the box or the agent does not allow it
    unknown     there is no such act
    """

    code: ActErrorCode
    message: str
    fault: str | None = None


class ReplyLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reply: a value, with a JPEG or an open file (`has_file`) if it is of such an act, or an error."""

    value: msgspec.Raw = _NULL
    error: ActError | None = None
    jpeg: bytes = b""
    has_file: bool = False


class ActReply(msgspec.Struct, frozen=True, kw_only=True):
    """One reply, as the caller gets it; the caller closes `fd`."""

    value: msgspec.Raw | None
    error: ActError | None
    jpeg: bytes = b""
    fd: int | None = None


_REPLY_DECODER = JsonDecoder(ReplyLine)


def call_act(
    folder: Path,
    name: str,
    args: msgspec.Raw,
    language: Language,
    timeout_s: float,
    upload_fd: int | None = None,
    upload_bytes: int = 0,
) -> Iterator[ActReply]:
    """Yield the replies of an act, up to the last. Each may take `timeout_s`.

    `upload_fd` is read to its end, and has `upload_bytes`.

    Raises TimeoutError if one takes longer, and another OSError if no act server answers.
    """
    request = ActRequest(act=name, args=args, language=language, upload_bytes=upload_bytes)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(str(folder / ACTS_SOCKET_NAME))
        line = msgspec.json.encode(request) + b"\n"
        with suppress(BrokenPipeError):  # it is answered already, by a refusal
            sent = socket.send_fds(connection, [line], [] if upload_fd is None else [upload_fd])
            connection.sendall(line[sent:])
        yield from _read_replies(connection)


def _read_replies(connection: socket.socket) -> Iterator[ActReply]:
    received, fds = bytearray(), list[int]()
    is_answered = False
    try:
        while True:
            data, new_fds, _, _ = socket.recv_fds(
                connection, _READ_BYTES, 1, socket.MSG_CMSG_CLOEXEC
            )
            received += data
            fds += new_fds
            while b"\n" in received:
                line, _, rest = received.partition(b"\n")
                received = rest
                is_answered = True
                yield _to_reply(bytes(line), fds)
            if len(received) > MAX_REPLY_BYTES:
                raise ConnectionError(f"a reply of more than {MAX_REPLY_BYTES} bytes")
            if not data:
                break
    finally:
        for fd in fds:
            os.close(fd)
    if not is_answered or received:
        raise ConnectionError("the act server has ended")


def _to_reply(line: bytes, fds: list[int]) -> ActReply:
    try:
        reply = _REPLY_DECODER.decode(line)
    except MalformedJson as error:
        raise ConnectionError(f"not a reply: {error}") from error
    if reply.has_file and not fds:
        raise ConnectionError("a reply without its file")
    return ActReply(
        value=None if reply.error else reply.value,
        error=reply.error,
        jpeg=reply.jpeg,
        fd=fds.pop(0) if reply.has_file else None,
    )

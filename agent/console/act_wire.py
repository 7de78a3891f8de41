"""Messages between the page's web process and its act server: one request and its replies over the local wire.

A request may pass one open file, and so may a reply; the connection is closed after the last one. Arguments and values
are the JSON documents of the phone, which the wire does not read.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from agent.console.page_wire import ACTS_SOCKET_NAME
from agent.faults.texts import Language
from drivers.local_wire import LocalConnection, MessageDecoder, connect

MAX_REPLY_BYTES = 1 << 22
MAX_ACTS, MAX_UPLOAD_BYTES = 256, 2_000_000_000
MAX_ACT_TIMEOUT_S = 3600.0
DEFAULT_TIMEOUT_S = 45.0
"""More than an agent's answer may take: then the act has its own words for it."""
LIST_ACTS = "acts"
"""The request for the kinds of all acts, which is no act itself."""

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
    """A request for an act, with its arguments in JSON; texts of the replies are in `language`.

    `upload_bytes` is the size of the file that comes along, 0 without one.
    """

    act: str
    args: bytes
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


class ActReply(msgspec.Struct, frozen=True, kw_only=True):
    """One reply: a value in JSON, with a JPEG or an open file if it is of such an act, or an error."""

    value: bytes = b"null"
    error: ActError | None = None
    jpeg: bytes = b""


class ReceivedReply(ActReply, frozen=True, kw_only=True):
    """One reply, as the caller gets it; the caller closes `fd`."""

    fd: int | None = None


_REPLY_DECODER = MessageDecoder(ActReply)


def call_act(
    folder: Path,
    name: str,
    args: bytes,
    language: Language,
    timeout_s: float,
    upload_fd: int | None = None,
    upload_bytes: int = 0,
) -> Iterator[ReceivedReply]:
    """Yield the replies of an act, up to the last. Each may take `timeout_s`.

    `upload_fd` is read to its end, and has `upload_bytes`.

    Raises TimeoutError if one takes longer, and another OSError if no act server answers.
    """
    request = ActRequest(act=name, args=args, language=language, upload_bytes=upload_bytes)
    files = () if upload_fd is None else (upload_fd,)
    with connect(folder / ACTS_SOCKET_NAME, timeout_s, MAX_REPLY_BYTES, 1) as connection:
        yield from exchange(connection, request, timeout_s, files)


def exchange(
    connection: LocalConnection, request: ActRequest, timeout_s: float, files: Sequence[int] = ()
) -> Iterator[ReceivedReply]:
    """Send a request with its file, and yield the replies as `call_act`."""
    is_answered = False
    for reply in connection.replies(request, _REPLY_DECODER, timeout_s, files):
        is_answered = True
        fd = next(iter(connection.take_files()), None)
        yield ReceivedReply(value=reply.value, error=reply.error, jpeg=reply.jpeg, fd=fd)
    if not is_answered:
        raise ConnectionError("the act server has ended")

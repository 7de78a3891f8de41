"""The method `command` of the control socket: commands that are given at the box itself.

The requester is an operator by the name in the request, otherwise by the name of the sending user, as the
kernel knows it. The name is trusted: only the agent's own user and root reach the socket. The console sends
the technician's.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.message import Message, message_of
from agent.base.model import CommandDone, CommandRefused, IncomingCommand, Reply
from agent.commands.command import COMMAND_LIFETIME_S, CommandId, RequesterId
from agent.commands.requester import CommandRejected
from agent.runtime import control_client
from agent.runtime.local_server import LocalRequest
from drivers.local_wire import MessageDecoder


class LocalCommand(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="method",
    tag="command",
):
    """One command. `id` is for a requester that may have to repeat it, `by` is the requester's name."""

    verb: str
    args: Any
    id: CommandId | None = None
    by: RequesterId | None = None


ResultT = TypeVar("ResultT")

_REPLY_DECODER: MessageDecoder[bytes | CommandRefused] = MessageDecoder(bytes | CommandRefused)
"""A reply, as the JSON document that a requester at the centre gets, or a refusal by the socket itself."""
_DOCUMENT_DECODER: JsonDecoder[Reply] = JsonDecoder(Reply)


class LocalCommandHandler:
    """Passes commands of the control socket to the dispatcher, and their replies back.

    `submit` is the dispatcher's; `new_id` makes an id of a `t_ns`.
    """

    def __init__(
        self,
        submit: Callable[[IncomingCommand], None],
        clock: Clock,
        new_id: Callable[[int], str],
    ) -> None:
        self._submit = submit
        self._clock = clock
        self._new_id = new_id

    def handle(self, local: LocalCommand, request: LocalRequest) -> None:
        """Submit the command. Never blocks."""
        now_ns = self._clock.boottime_ns()
        command = {
            "id": local.id or self._new_id(now_ns),
            "expires": self._clock.utc(now_ns) + timedelta(seconds=COMMAND_LIFETIME_S),
            "by": local.by or request.peer.user_name,
            "role": "operator",
            "args": local.args,
        }
        self._submit(
            IncomingCommand(
                verb=local.verb,
                payload=msgspec.json.encode(command),
                via="the control socket",
                send_reply=partial(_send_reply, request),
            )
        )


def _send_reply(request: LocalRequest, reply: Reply) -> None:
    request.reply(
        msgspec.json.encode(reply),
        is_last=isinstance(reply, CommandDone | CommandRefused),
    )


def run_command(
    state_dir: Path,
    verb: str,
    args: object,
    result_type: type[ResultT],
    timeout_s: float,
    by: str | None = None,
) -> ResultT | None:
    """Send a command to the agent of a state folder, and return its result, or None if no agent runs.

    Raises: CommandRejected if the agent refuses it; UserError and PermissionError as `send_command`.
    """
    for reply in send_command(state_dir, verb, args, timeout_s, by) or ():
        if isinstance(reply, CommandRefused):
            raise CommandRejected(reply.code, reply.message)
        if isinstance(reply, CommandDone):
            return _decode(JsonDecoder(result_type), bytes(reply.result))
    return None


def send_command(
    state_dir: Path, verb: str, args: object, timeout_s: float, by: str | None = None
) -> Iterator[Reply] | None:
    """Send a command to the agent of a state folder, and return its replies up to the last.

    `by` is the requester's name, by default that of the user of this process. Returns None if no
    agent runs. Each reply may take `timeout_s`. Raises PermissionError if only another user may
    ask; UserError comes from the replies if there is no answer.
    """
    replies = control_client.call(
        state_dir, LocalCommand(verb=verb, args=args, by=by), _REPLY_DECODER, timeout_s
    )
    return None if replies is None else _up_to_last(replies)


def _up_to_last(replies: Iterator[bytes | CommandRefused]) -> Iterator[Reply]:
    for message in replies:
        reply = _decode_reply(message)
        yield reply
        if isinstance(reply, CommandDone | CommandRefused):
            return


def _decode_reply(message: bytes | CommandRefused) -> Reply:
    if isinstance(message, CommandRefused):
        return message
    return _decode(_DOCUMENT_DECODER, message)


def _decode(decoder: JsonDecoder[ResultT], document: bytes) -> ResultT:
    try:
        return decoder.decode(document)
    except MalformedJson as error:
        raise UserError(
            Message("the agent gave no answer: {error}", error=message_of(error))
        ) from error

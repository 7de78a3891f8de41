"""A command on its way through the dispatcher. Pure."""

from collections.abc import Callable

import msgspec

from agent.base.model import Reply
from agent.commands.command import CommandHandler, Deferred, ValidCommand


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A command, its handler and its requester. `via` names its source; the rest: see IncomingCommand."""

    command: ValidCommand
    handler: CommandHandler
    via: str
    send_reply: Callable[[Reply], None]
    received_ns: int
    has_waited: bool = False
    session: int | None = None
    is_local: bool = False


class RunningJob(msgspec.Struct, frozen=True, kw_only=True):
    """A command that was accepted and has not ended."""

    job: Job
    deferred: Deferred
    deadline_ns: int

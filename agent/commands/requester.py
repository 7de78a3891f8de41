"""The requester of a command, and the error that rejects it."""

from typing import Literal, get_args

import msgspec

from agent.base.model import RefusalCode

Role = Literal["operator", "incident", "tracking", "tour"]
"""Priority of a requester over a head, the strongest first."""
ROLES: tuple[Role, ...] = get_args(Role)


class Requester(msgspec.Struct, frozen=True, kw_only=True):
    """The person or the part of the box that requests something; `id` is the name in the log."""

    id: str
    role: Role


class CommandRejected(Exception):
    """A command is rejected with `code`; `str(error)` is the reason in one sentence."""

    def __init__(self, code: RefusalCode, message: str) -> None:
        super().__init__(message)
        self.code: RefusalCode = code

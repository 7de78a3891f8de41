"""The requester of a command, and the error that rejects it."""

from typing import Literal, get_args

import msgspec

from agent.base.control_role import ControlRole
from agent.base.model import RefusalCode

Role = Literal["operator", "incident", "tracking", "tour"]
"""Priority of a requester over a head, the strongest first."""
ROLES: tuple[Role, ...] = get_args(Role)


class Requester(msgspec.Struct, frozen=True, kw_only=True):
    """The person or the part of the box that requests something; `id` is the name in the log.

    `certificate_role` is that of the certificate which signed the command, None if none did.
    """

    id: str
    role: Role
    certificate_role: ControlRole | None = None

    @property
    def by(self) -> str:
        """The requester in receipts: the name, and the role if it is authenticated."""
        return self.id if self.certificate_role is None else f"{self.id} ({self.certificate_role})"

    @property
    def coordinates_incident(self) -> bool:
        """True for the coordinator of an incident; other certificates may have the same priority over a head."""
        return (self.certificate_role or self.role) == "incident"


def requester_of_certificate(name: str, role: ControlRole) -> Requester:
    """Return the requester of a certificate. A supervisor has an operator's priority over a head, all others that of
    an incident's coordinator.
    """
    priority: Role = "operator" if role in ("operator", "supervisor") else "incident"
    return Requester(id=name, role=priority, certificate_role=role)


class CommandRejected(Exception):
    """A command is rejected with `code`; `str(error)` is the reason in one sentence."""

    def __init__(self, code: RefusalCode, message: str) -> None:
        super().__init__(message)
        self.code: RefusalCode = code

"""Orders of incidents that are signed: for boxes with `control.ca`."""

from collections.abc import Callable

from agent.authority.control_authority import ControlAuthority
from agent.authority.refusal import RefusedMessage
from agent.base.control_role import ControlRole
from agent.commands.requester import requester_of_certificate
from agent.incident.order import MalformedOrder, SignedOrder, order_from_claims

ORDERING_ROLES: tuple[ControlRole, ...] = ("operator", "incident", "supervisor")
"""Roles whose certificates may order an incident. Its parts need the permissions of the role on each camera."""


def order_verifier(authority: ControlAuthority) -> Callable[[bytes], SignedOrder]:
    """Return a function that verifies and parses an order, and raises MalformedOrder."""

    def read(payload: bytes) -> SignedOrder:
        try:
            message = authority.verify(payload, "vigie-incident+jws", roles=ORDERING_ROLES)
        except RefusedMessage as error:
            raise MalformedOrder(f"incident: {error.reason}: {error}") from error
        return SignedOrder(
            order=order_from_claims(message.claims),
            signers=tuple(
                requester_of_certificate(signer.name, signer.role) for signer in message.signers
            ),
        )

    return read

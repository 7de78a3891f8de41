"""Acknowledgements and states of centres, as they come from the broker: signed if the box has a control authority."""

import logging
from typing import TypeVar

import msgspec

from agent.authority.control_authority import ControlAuthority
from agent.authority.refusal import RefusedMessage
from agent.authority.signed_message import MessageType
from agent.base.control_role import ControlRole
from agent.reporting import topics
from agent.reporting.centre_payloads import Ack, CentreState, SignedAck

log = logging.getLogger(__name__)

ClaimsT = TypeVar("ClaimsT", bound=msgspec.Struct)
_ROLES: tuple[ControlRole, ...] = ("centre",)


class CentreMessages:
    """Reads what centres publish. With an `authority` a message counts only if the centre of its topic has signed it."""

    def __init__(self, box: str, authority: ControlAuthority | None) -> None:
        self._box = box
        self._authority = authority

    @property
    def are_signed(self) -> bool:
        """True if the box has a control authority: then no broker and no silence frees a message."""
        return self._authority is not None

    def read_state(self, centre: str, payload: bytes) -> CentreState | None:
        """Return a centre's state, or None if it is none. An empty message has removed a retained one."""
        if self._authority is None or not payload:
            return topics.decode_as(CentreState, payload)
        return self._read_signed(
            self._authority, centre, payload, "vigie-centre-state+jws", CentreState
        )

    def read_ack(self, centre: str, payload: bytes) -> Ack | None:
        """Return a centre's acknowledgement to this box, or None if it is none, which is logged."""
        if self._authority is None:
            ack = topics.decode_as(Ack, payload)
            if ack is None:
                log.warning("a message of centre %r is no acknowledgement", centre)
            return ack
        signed = self._read_signed(self._authority, centre, payload, "vigie-ack+jws", SignedAck)
        if signed is None:
            return None
        if signed.box != self._box:
            self._authority.count_refusal("other_box")
            log.warning(
                "an acknowledgement of centre %r is refused, other_box: %r", centre, signed.box
            )
            return None
        return Ack(epoch=signed.epoch, upto=signed.upto, also=signed.also)

    def _read_signed(
        self,
        authority: ControlAuthority,
        centre: str,
        payload: bytes,
        message_type: MessageType,
        claims_type: type[ClaimsT],
    ) -> ClaimsT | None:
        try:
            message = authority.verify(payload, message_type, roles=_ROLES)
        except RefusedMessage as refusal:
            log.warning(
                "%s of centre %r is refused, %s: %s", message_type, centre, refusal.reason, refusal
            )
            return None
        names = [signer.name for signer in message.signers]
        if names != [centre]:
            authority.count_refusal("other_centre")
            log.warning(
                "%s of centre %r is refused, other_centre: signed by %r",
                message_type,
                centre,
                names,
            )
            return None
        try:
            return msgspec.convert(message.claims, claims_type)
        except msgspec.ValidationError as error:
            authority.count_refusal("malformed")
            log.warning("%s of centre %r is refused, malformed: %s", message_type, centre, error)
            return None

"""Signed messages of the centre's side: commands, orders, acknowledgements, states, revocation lists. Pure."""

from collections.abc import Sequence
from datetime import datetime

from agent.authority.revocation import RevocationList
from agent.authority.signed_message import SigningIdentity, sign_message
from agent.incident.order import IncidentOrder
from agent.reporting.centre_payloads import Ack, CentreState, CentreStateName, SignedAck


def sign_command(
    *,
    box: str,
    verb: str,
    args: object,
    command_id: str,
    issued: datetime,
    expires: datetime,
    signers: Sequence[SigningIdentity],
    session: int | None = None,
) -> bytes:
    """Return the payload of `down/command/<verb>`. `session` is that of the box's birth, for one without a clock."""
    claims: dict[str, object] = {
        "box": box,
        "id": command_id,
        "issued": issued,
        "expires": expires,
        "verb": verb,
        "args": args,
    }
    if session is not None:
        claims["session"] = session
    return sign_message(claims, "vigie-command+jws", *signers)


def sign_ack(ack: Ack, box: str, centre: SigningIdentity) -> bytes:
    """Return the payload of `down/ack/<centre>` of a box. The centre of the topic is the name of the certificate."""
    claims = SignedAck(epoch=ack.epoch, upto=ack.upto, also=ack.also, box=box)
    return sign_message(claims, "vigie-ack+jws", centre)


def sign_centre_state(state: CentreStateName, centre: SigningIdentity) -> bytes:
    """Return the state of a centre. The centre of the topic is the name of the certificate."""
    return sign_message(CentreState(state=state), "vigie-centre-state+jws", centre)


def sign_revocations(
    number: int, issued: datetime, serials: Sequence[str], authority: SigningIdentity
) -> bytes:
    """Return the revocation list of an authority, signed with the key of the authority itself."""
    claims = RevocationList(number=number, issued=issued, serials=tuple(serials))
    return sign_message(claims, "vigie-revocations+jws", authority)


def sign_incident(order: IncidentOrder, *signers: SigningIdentity) -> bytes:
    """Return the payload of `vigie/v1/incident/<id>`, to be published retained."""
    return sign_message(order, "vigie-incident+jws", *signers)

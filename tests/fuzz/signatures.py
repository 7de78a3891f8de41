"""Targets of signed messages: the text as a broker carries it, claims that are signed well, certificates of signers."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cache

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.authority.certificate import check_authority, read_control_certificate
from agent.authority.control_authority import ControlAuthority
from agent.authority.refusal import RefusedMessage
from agent.authority.signed_message import SigningIdentity, sign_message
from agent.base.pem import MalformedCertificate, decode_der_certificate
from agent.commands.command import UnacceptableCommand
from agent.commands.signed_command import CommandAuthenticator
from agent.config.control import ControlConfig
from agent.ptz.ptz_command import PtzCommandHandler
from agent.reporting.mqtt.centre_messages import CentreMessages
from centre.signing import sign_revocations
from tests.authority_rig import NOW, ControlKeys, command_claims
from tests.conftest import ManualClock
from tests.fuzz.target import FuzzTarget, check_one_line, make_work_dir
from tests.parts.command_rig import MOVE_ARGS

KEYS = ControlKeys(key=Ed25519PrivateKey.from_private_bytes(bytes(32)))
AMINA, BADR = (
    KEYS.identity(
        name, key=Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32), serial=number
    )
    for number, name in enumerate(("amina", "badr"), 1)
)
CITY = KEYS.identity(
    "city", "centre", key=Ed25519PrivateKey.from_private_bytes(bytes([3]) * 32), serial=3
)
HANDLER = PtzCommandHandler({}, lambda: 0)


@cache
def authority() -> ControlAuthority:
    return KEYS.load(make_work_dir(), ManualClock())


@cache
def authenticator() -> CommandAuthenticator:
    return CommandAuthenticator(
        authority(), ControlConfig(ca="ca.pem"), "pole-17", [HANDLER], ManualClock()
    )


def run_signed_message(data: bytes) -> None:
    """The first byte says whether the rest is a message, or claims that are signed here."""
    kind, rest = data[:1], data[1:]
    if kind == b"\1":
        rest = sign_message(msgspec.Raw(rest), "vigie-command+jws", AMINA)
    elif kind == b"\2":
        rest = sign_message(msgspec.Raw(rest), "vigie-revocations+jws", KEYS.authority)
    elif kind == b"\3":
        rest = sign_message(msgspec.Raw(rest), "vigie-ack+jws", CITY)
    authority().take_revocations(rest)
    messages = CentreMessages("pole-17", authority())
    messages.read_ack("city", rest)
    messages.read_state("city", rest)
    try:
        authenticator().open_command(HANDLER, rest, 1)
    except UnacceptableCommand as error:
        check_one_line(error)


def message_seeds() -> Sequence[bytes]:
    claims = command_claims(MOVE_ARGS)
    return [
        b"\0" + sign_message(claims, "vigie-command+jws", AMINA),
        b"\0" + sign_message(claims, "vigie-command+jws", AMINA, BADR),
        b"\0" + sign_revocations(1, NOW, ["4d"], KEYS.authority),
        b"\1" + msgspec.json.encode(claims),
        b"\3" + b'{"box":"pole-17","epoch":"e","upto":7,"also":[[9,12]]}',
        b"\2" + msgspec.json.encode({"number": 2, "issued": NOW, "serials": ["4d"]}),
    ]


def run_control_certificate(data: bytes) -> None:
    try:
        read_control_certificate(data)
    except RefusedMessage as refusal:
        check_one_line(refusal)
    with suppress(MalformedCertificate, RefusedMessage):
        check_authority(decode_der_certificate(data))


def certificate_seeds() -> Sequence[bytes]:
    identities: tuple[SigningIdentity, ...] = (AMINA, KEYS.authority)
    return [
        identity.certificate.public_bytes(serialization.Encoding.DER) for identity in identities
    ]


TARGETS = {
    "signed_message": FuzzTarget(run_signed_message, message_seeds),
    "control_certificate": FuzzTarget(run_control_certificate, certificate_seeds),
}

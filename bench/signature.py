"""Verification of signed commands: certificate, signature, claims and permission.

Run: `python -m bench signature`.
"""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.authority.certificate import PERSON_LIFETIME, issue_certificate, make_authority
from agent.authority.control_authority import ControlAuthority
from agent.authority.revocation import RevocationStore
from agent.authority.signed_message import SigningIdentity
from agent.base.clock import SystemClock
from agent.commands.signed_command import CommandAuthenticator
from agent.config.control import ControlConfig
from agent.ptz.ptz_command import PtzCommandHandler
from bench.cpu import one_core, run_in_turns
from bench.table import Row
from centre.signing import sign_command

COMMANDS = 500
"""Commands in each turn."""
NEW_CERTIFICATES = 50
"""Of them with a certificate that is not known yet, in a turn of their own."""
MOVE = {"do": "move", "head": "mast", "pan": 0.5, "tilt": 0.1, "for_s": 1.5}
NOW = datetime.now(UTC)


def issue(authority: SigningIdentity, name: str, serial: int) -> SigningIdentity:
    """Return a supervisor with a certificate."""
    key = Ed25519PrivateKey.generate()
    begin = NOW - timedelta(minutes=5) + timedelta(seconds=serial)
    certificate = issue_certificate(
        key.public_key(),
        name,
        "supervisor",
        authority=authority,
        not_before=begin,
        not_after=begin + PERSON_LIFETIME,
        serial=serial,
    )
    return SigningIdentity(certificate, key)


def sign(*signers: SigningIdentity) -> bytes:
    """Return a move."""
    return sign_command(
        box="bench",
        verb="ptz",
        args=MOVE,
        command_id="one",
        issued=NOW,
        expires=NOW + timedelta(hours=1),
        signers=signers,
    )


def rows() -> list[Row]:
    """Compare signed commands with the bare verification of their signature, in turns."""
    key = Ed25519PrivateKey.generate()
    ca = make_authority(
        "bench",
        key,
        not_before=NOW - timedelta(days=1),
        not_after=NOW + timedelta(days=1),
        serial=1,
    )
    authority = SigningIdentity(ca, key)
    handler = PtzCommandHandler({}, lambda: 0)
    first, second = issue(authority, "first", 2), issue(authority, "second", 3)
    strangers = [sign(issue(authority, f"person {n}", n + 10)) for n in range(NEW_CERTIFICATES)]
    once, twice = sign(first), sign(first, second)
    public_key, text = first.key.public_key(), once[: len(once) // 2]
    signature = first.key.sign(text)
    with tempfile.TemporaryDirectory() as folder, one_core():

        def make_authenticator() -> CommandAuthenticator:
            clock = SystemClock()
            control = ControlAuthority([ca], RevocationStore(Path(folder)), clock)
            return CommandAuthenticator(control, ControlConfig(ca="ca"), "bench", [handler], clock)

        known = make_authenticator()

        def open_known(payload: bytes) -> None:
            for _ in range(COMMANDS):
                known.open_command(handler, payload, 1)

        def open_strangers() -> None:
            authenticator = make_authenticator()
            for payload in strangers:
                authenticator.open_command(handler, payload, 1)

        def verify_bare() -> None:
            for _ in range(COMMANDS):
                public_key.verify(signature, text)

        turns = run_in_turns(
            {
                "once": lambda: open_known(once),
                "twice": lambda: open_known(twice),
                "new": open_strangers,
                "bare": verify_bare,
            }
        )
    return [
        Row(
            name="signed command verified",
            value=turns.ms("once", COMMANDS),
            unit="ms",
            target="<= 1",
            note=f"CPU; of two people {turns.ms('twice', COMMANDS):.2f} ms, with a certificate that is new "
            f"{turns.ms('new', NEW_CERTIFICATES):.2f} ms; {len(once)} bytes",
        ),
        Row(
            name="signed command / bare Ed25519 verification",
            value=turns.ratio("once", "bare"),
            unit="ratio",
            target="-",
            note=f"{turns.ms('bare', COMMANDS):.3f} ms by cryptography alone",
        ),
    ]

"""docs/wire-contract.md: the signed examples are test vectors, verified with the authority of the page alone."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.authority.control_authority import ControlAuthority
from agent.authority.signed_message import sign_message
from agent.commands.signed_command import CommandAuthenticator
from agent.config.control import ControlConfig
from agent.ptz.ptz_command import PtzCommandHandler
from centre.signing import sign_revocations
from tests.authority_rig import ControlKeys
from tests.conftest import ManualClock

PAGE = (Path(__file__).parents[2] / "docs" / "wire-contract.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Signed messages\n")[1].split("\n## ")[0]
BLOCKS = dict(re.findall(r"^```([a-z]+ ?\w*)\n(.*?)\n```$", SECTION, re.MULTILINE | re.DOTALL))
NOW = datetime(2026, 11, 3, 7, 41, 5, tzinfo=UTC)


def make_examples() -> dict[str, str]:
    """The blocks of the page, from keys that are no secret."""
    keys = ControlKeys(
        NOW, key=Ed25519PrivateKey.from_private_bytes(b"control authority of the docs".ljust(32))
    )
    amina = keys.identity(
        "amina",
        "operator",
        key=Ed25519PrivateKey.from_private_bytes(b"amina, in the docs".ljust(32)),
        begin=NOW - timedelta(hours=1),
        serial=0x4D0C,
    )
    pem = keys.authority.certificate.public_bytes(serialization.Encoding.PEM).decode()
    claims = msgspec.Raw(BLOCKS["json claimsPtz"].encode())
    issued = NOW.replace(hour=7, minute=0, second=0)
    return {
        "pem": pem.rstrip("\n"),
        "jws": sign_message(claims, "vigie-command+jws", amina).decode(),
        "json revocations": sign_revocations(7, issued, ["4d0b"], keys.authority).decode(),
    }


def test_the_examples_are_those_of_the_code() -> None:
    assert {name: BLOCKS.get(name) for name in make_examples()} == make_examples()


@pytest.fixture
def authority(tmp_path: Path) -> ControlAuthority:
    file = tmp_path / "control-ca.pem"
    file.write_text(BLOCKS["pem"])
    clock = ManualClock()
    clock.boot_utc = NOW
    return ControlAuthority.load(file, tmp_path, clock)


def test_the_command_is_verified_with_the_authority_of_the_page(
    authority: ControlAuthority,
) -> None:
    handler = PtzCommandHandler({}, lambda: 0)
    authenticator = CommandAuthenticator(
        authority, ControlConfig(ca="ca"), "pole-17", [handler], ManualClock()
    )
    command = authenticator.open_command(handler, BLOCKS["jws"].encode(), 1)
    assert (command.requester.by, command.session) == ("amina (operator)", 12)
    assert command.issued == NOW
    message = authority.verify(BLOCKS["jws"].encode(), "vigie-command+jws")
    assert message.claims == msgspec.json.decode(BLOCKS["json claimsPtz"])


def test_the_revocation_list_is_verified_with_the_authority_of_the_page(
    authority: ControlAuthority,
) -> None:
    authority.take_revocations(BLOCKS["json revocations"].encode())
    assert authority.health().revocation_list == 7
    assert authority.health().refused == {}

"""centre.command_request: arguments as a person types them, and the signature of a second person."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.authority.certificate import issue_certificate, make_authority
from agent.authority.signed_message import (
    MessageType,
    SigningIdentity,
    parse_message,
    verify_signatures,
)
from agent.base.errors import UserError
from centre.command_request import countersign, parse_arguments, read_request
from centre.signing import sign_command

COMMAND: MessageType = "vigie-command+jws"
NOW = datetime(2026, 11, 27, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "args"),
    [
        ([], {}),
        (["do=goto_preset", "head=mast", "preset=gate"], {"do": "goto_preset", "head": "mast", "preset": "gate"}),
        (["pan_deg=-42.5", "token=7", "active=true", "for_s=null"], {"pan_deg": -42.5, "token": 7, "active": True, "for_s": None}),
        (['name="7"'], {"name": "7"}),
        (["text=a=b"], {"text": "a=b"}),
        (['cameras=["north","south"]'], {"cameras": ["north", "south"]}),
        (["upload.url=https://s3.example.org/x", "upload.kind=put"], {"upload": {"url": "https://s3.example.org/x", "kind": "put"}}),
        (['{"do": "list"}'], {"do": "list"}),
    ],
)  # fmt: skip
def test_arguments_of_a_command(words: list[str], args: dict[str, Any]) -> None:
    assert parse_arguments(words) == args


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["goto"], "'goto'"),
        (["=x"], "'=x'"),
        ([".x=1"], "'.x=1'"),
        (["head=mast", "head=pole"], "given twice"),
        (["upload=1", "upload.url=x"], "has a value already"),
        (["{broken"], "not a JSON object"),
        (['{"a": 1}', "b=2"], "allowed: NAME=VALUE"),
    ],
)
def test_other_words_are_refused_by_name(words: list[str], named: str) -> None:
    with pytest.raises(UserError, match=r"^ARGS: ") as refusal:
        parse_arguments(words)
    assert named in str(refusal.value)


def test_a_second_person_signs_the_same_bytes() -> None:
    key = Ed25519PrivateKey.generate()
    dates = {"not_before": NOW, "not_after": NOW + timedelta(hours=12)}
    authority = SigningIdentity(make_authority("city", key, serial=1, **dates), key)
    people = []
    for serial, name in enumerate(("amina", "jonas"), start=2):
        own_key = Ed25519PrivateKey.generate()
        certificate = issue_certificate(
            own_key.public_key(), name, "supervisor", authority=authority, serial=serial, **dates
        )
        people.append(SigningIdentity(certificate, own_key))
    first = sign_command(
        box="pole-17",
        verb="config",
        args={"scene": "é"},
        command_id="1",
        issued=NOW,
        expires=NOW + timedelta(minutes=10),
        signers=people[:1],
    )
    both = parse_message(countersign(read_request(first, COMMAND), COMMAND, people[1]), COMMAND)
    assert both.claims == read_request(first, COMMAND).claims
    verify_signatures(both, [person.key.public_key() for person in people])


def test_a_file_that_is_no_signed_command_cannot_be_countersigned() -> None:
    with pytest.raises(UserError, match="not a vigie-command"):
        read_request(b"{}", COMMAND)

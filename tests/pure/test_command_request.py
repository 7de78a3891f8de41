"""centre.command_request: arguments as a person types them, and the signature of a second person."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.authority.signed_message import (
    MessageType,
    SigningIdentity,
    parse_message,
    verify_signatures,
)
from agent.base.errors import UserError
from centre.command_request import countersign, parse_arguments, read_request, read_signer
from centre.signing import sign_command
from tests.authority_rig import ControlKeys

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


KEYS = ControlKeys(NOW)


def sign_as(*people: SigningIdentity) -> bytes:
    return sign_command(
        box="pole-17",
        verb="config",
        args={"scene": "é"},
        command_id="1",
        issued=NOW,
        expires=NOW + timedelta(minutes=10),
        signers=people,
    )


def test_a_second_person_signs_the_same_bytes() -> None:
    people = [KEYS.identity("amina", "supervisor"), KEYS.identity("jonas", "supervisor")]
    first = read_request(sign_as(people[0]), COMMAND)
    both = parse_message(countersign(first, COMMAND, people[1]), COMMAND)
    assert both.claims == first.claims
    verify_signatures(both, [person.key.public_key() for person in people])
    assert read_signer(first).name == "amina"


def test_what_no_box_takes_as_two_people_is_not_countersigned() -> None:
    amina = KEYS.identity("amina", "supervisor")
    badr, jonas = KEYS.identity("badr"), KEYS.identity("jonas")
    first = read_request(sign_as(amina), COMMAND)
    for same in (amina, KEYS.identity("Amina"), KEYS.identity("jonas", key=amina.key)):
        with pytest.raises(UserError, match="allowed: of two people"):
            countersign(first, COMMAND, same)
    with pytest.raises(UserError, match="two people have signed this already"):
        countersign(read_request(sign_as(amina, badr), COMMAND), COMMAND, jonas)
    forged = SigningIdentity(amina.certificate, badr.key)
    with pytest.raises(UserError, match="a signature does not match"):
        countersign(read_request(sign_as(forged), COMMAND), COMMAND, jonas)


def test_a_file_that_is_no_signed_command_cannot_be_countersigned() -> None:
    with pytest.raises(UserError, match="not a vigie-command"):
        read_request(b"{}", COMMAND)

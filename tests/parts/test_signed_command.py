"""agent.commands.signed_command in a real dispatcher: people's signatures command a box, within their permissions; a stop
passes. Real SQLite on disk.
"""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.authority.control_authority import ControlAuthority
from agent.authority.revocation import state_file
from agent.authority.signed_message import SigningIdentity, sign_message
from agent.base.model import CommandDone, CommandRefused, IncomingCommand, Reply
from agent.commands.command import (
    MAX_COMMAND_BYTES,
    CommandHandler,
    CommandProgressSink,
    CommandType,
    ValidCommand,
    never,
)
from agent.commands.requester import Requester
from agent.commands.signed_command import MAX_SIGNED_COMMAND_BYTES
from agent.config.control import ControlConfig, RolePermission
from centre.signing import sign_command, sign_revocations
from tests.authority_rig import NOW, ControlKeys, command_claims
from tests.conftest import ManualClock
from tests.parts.command_rig import (
    MOVE_ARGS,
    PRESET_SET_ARGS,
    STOP_ARGS,
    CommandRig,
    MakeRig,
    decode_result,
    encode_command,
    make_rig,
    rejection_of,
)

__all__ = ["make_rig"]


class Unmask(CommandHandler):
    """A verb that shows what a mask hid."""

    class Args(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        camera: str

    class Result(msgspec.Struct):
        by: str

    command = CommandType(
        verb="unmask",
        args=Args,
        result=Result,
        summary="",
        actions=("lift_mask",),
        cameras=lambda args: (args.camera,),
        describe=lambda args: args.camera,
        is_idempotent=never,
    )

    def __init__(self) -> None:
        self.signers: list[tuple[Requester, ...]] = []

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> Result:
        self.signers.append(command.signers)
        return self.Result(by=" and ".join(signer.by for signer in command.signers))


@pytest.fixture
def keys() -> ControlKeys:
    return ControlKeys()


@pytest.fixture
def authority(keys: ControlKeys, tmp_path: Path, clock: ManualClock) -> ControlAuthority:
    return keys.load(tmp_path, clock)


@pytest.fixture
def unmask() -> Unmask:
    return Unmask()


@pytest.fixture
def rig(make_rig: MakeRig, authority: ControlAuthority, unmask: Unmask) -> CommandRig:
    return make_rig(unmask, authority=authority, control=ControlConfig(ca="ca.pem"))


def sign(args: Any, *signers: SigningIdentity, command_id: str = "one", **changes: Any) -> bytes:
    """A signed command of the clock's first minute."""
    return sign_message(command_claims(args, command_id, **changes), "vigie-command+jws", *signers)


def answer(
    rig: CommandRig, payload: bytes, *, verb: str = "ptz", session: int | None = 12
) -> Reply:
    """The only reply to a command."""
    reply_count = len(rig.replies)
    rig.submit(payload, verb=verb, session=session)
    rig.run_once()
    (reply,) = rig.replies[reply_count:]
    return reply


def counts(authority: ControlAuthority) -> dict[str, int]:
    return authority.health().refused


def test_name_and_role_of_the_requester_are_those_of_the_certificate(
    rig: CommandRig, keys: ControlKeys, authority: ControlAuthority
) -> None:
    lease = decode_result(answer(rig, sign(MOVE_ARGS, keys.identity("amina"))))["lease"]
    assert (lease["by"], lease["role"]) == ("amina", "operator")
    assert rig.head.calls == ["PtzMoveArgs"]
    assert counts(authority) == {}


def test_a_supervisor_has_an_operators_priority_over_a_head_and_an_incident_less(
    rig: CommandRig, keys: ControlKeys
) -> None:
    for command_id, name, role, code in (
        ("1", "salma", "supervisor", None),
        ("2", "rachid", "incident", "busy"),
        ("3", "amina", "operator", None),
    ):
        reply = answer(
            rig,
            sign(MOVE_ARGS, keys.identity(name, role), command_id=command_id),  # type: ignore[arg-type]
        )
        assert (rejection_of(reply)[0] if isinstance(reply, CommandRefused) else None) == code


def test_a_command_of_the_centres_library_is_accepted(rig: CommandRig, keys: ControlKeys) -> None:
    payload = sign_command(
        box="pole-17",
        verb="ptz",
        args=MOVE_ARGS,
        command_id="one",
        issued=NOW,
        expires=NOW + timedelta(seconds=30),
        signers=[keys.identity()],
        session=12,
    )
    assert isinstance(answer(rig, payload), CommandDone)


@pytest.mark.parametrize(
    ("payload", "answered_id", "code", "reason"),
    [
        (lambda _: encode_command(MOVE_ARGS), "one", "unauthenticated", "unsigned"),
        (lambda _: b"rubbish", None, "malformed", "malformed"),
        (
            lambda k: sign_message(command_claims(MOVE_ARGS), "vigie-config+jws", k.identity()),
            "one",
            "unauthenticated",
            "wrong_type",
        ),
        (
            lambda _: sign(MOVE_ARGS, ControlKeys().identity()),
            "one",
            "unauthenticated",
            "unknown_authority",
        ),
        (
            lambda k: sign(MOVE_ARGS, k.identity(begin=NOW - timedelta(days=1))),
            "one",
            "unauthenticated",
            "certificate_expired",
        ),
        (
            lambda k: sign(MOVE_ARGS, k.identity()).replace(b'"payload":"', b'"payload":"e30'),
            None,
            "malformed",
            "malformed",
        ),
        (
            lambda k: sign(MOVE_ARGS, *[k.identity("amina")] * 2),
            "one",
            "unauthenticated",
            "same_person",
        ),
        (
            lambda k: sign(MOVE_ARGS, k.identity(), box="pole-18"),
            "one",
            "unauthenticated",
            "other_box",
        ),
        (
            lambda k: sign(MOVE_ARGS, k.identity(), verb="gpio"),
            "one",
            "unauthenticated",
            "other_verb",
        ),
        (lambda k: sign(MOVE_ARGS, k.identity(), box=None), "one", "malformed", "malformed"),
        (lambda k: sign(MOVE_ARGS, k.identity(), by="salma"), "one", "malformed", "malformed"),
        (
            lambda k: sign(MOVE_ARGS, k.identity(), role="supervisor"),
            "one",
            "malformed",
            "malformed",
        ),
        (lambda k: sign(MOVE_ARGS, k.identity(), issued="now"), "one", "malformed", "malformed"),
        (lambda k: sign({**MOVE_ARGS, "pan": 2}, k.identity()), "one", "malformed", "malformed"),
        (lambda k: sign(MOVE_ARGS, k.identity(role="viewer")), "one", "forbidden", "wrong_role"),
        (lambda k: sign(MOVE_ARGS, k.identity(role="centre")), "one", "forbidden", "wrong_role"),
        (
            lambda k: sign(MOVE_ARGS, k.identity("a"), k.identity("b", "viewer")),
            "one",
            "forbidden",
            "wrong_role",
        ),
        (
            lambda k: sign(
                MOVE_ARGS,
                k.identity(),
                issued=NOW - timedelta(minutes=2),
                expires=NOW - timedelta(minutes=1),
            ),
            "one",
            "expired",
            "stale",
        ),
        (
            lambda k: sign(MOVE_ARGS, k.identity(), expires=NOW + timedelta(hours=2)),
            "one",
            "expired",
            "stale",
        ),
        (
            lambda k: sign(
                MOVE_ARGS,
                k.identity(),
                issued=NOW + timedelta(minutes=1),
                expires=NOW + timedelta(minutes=2),
            ),
            "one",
            "expired",
            "early",
        ),
        (lambda k: sign(MOVE_ARGS, k.identity(), session=11), "one", "expired", "other_session"),
        (
            lambda k: sign({**MOVE_ARGS, "x": "y" * MAX_SIGNED_COMMAND_BYTES}, k.identity()),
            "one",
            "malformed",
            "too_large",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refused_command_is_answered_counted_and_not_executed(
    rig: CommandRig,
    keys: ControlKeys,
    authority: ControlAuthority,
    payload: Any,
    answered_id: str | None,
    code: str,
    reason: str,
) -> None:
    reply = answer(rig, payload(keys))
    assert isinstance(reply, CommandRefused)
    assert (reply.command, reply.code) == (answered_id, code), reply.message
    assert "\n" not in reply.message
    assert len(reply.message) < 600
    assert counts(authority) == {reason: 1}
    assert rig.head.calls == []


def test_a_retained_command_is_refused(rig: CommandRig, keys: ControlKeys) -> None:
    rig.submit(sign(MOVE_ARGS, keys.identity()), retained=True, session=12)
    rig.run_once()
    assert rejection_of(rig.replies[-1])[0] == "malformed"


def test_an_unknown_verb_is_answered_under_the_signed_id(
    rig: CommandRig, keys: ControlKeys
) -> None:
    reply = answer(rig, sign({}, keys.identity(), verb="dance"), verb="dance")
    assert isinstance(reply, CommandRefused)
    assert (reply.command, reply.code) == ("one", "unsupported")


def test_the_largest_command_fits_with_two_signatures(
    rig: CommandRig, keys: ControlKeys, authority: ControlAuthority
) -> None:
    amina, badr = keys.identity("amina"), keys.identity("badr")
    room = MAX_COMMAND_BYTES - len(msgspec.json.encode(command_claims({"do": "x"})))
    reply = answer(rig, sign({"do": "x", "y": "z" * (room - 10)}, amina, badr))
    assert rejection_of(reply)[0] == "malformed"
    assert counts(authority) == {"malformed": 1}


def test_a_replayed_command_gets_the_first_reply_and_is_not_executed_again(
    rig: CommandRig,
    keys: ControlKeys,
    clock: ManualClock,
    make_rig: MakeRig,
    authority: ControlAuthority,
) -> None:
    payload = sign(PRESET_SET_ARGS, keys.identity())
    first = answer(rig, payload)
    assert isinstance(first, CommandDone)
    assert answer(rig, payload) == first
    clock.advance_s(3600)
    # Of another session, after its expiry, after a restart.
    assert answer(rig, payload, session=13) == first
    rig.dispatcher.close()
    again = make_rig(authority=authority, control=ControlConfig(ca="ca.pem"))
    assert answer(again, payload, session=14) == first
    assert again.head.calls == []


def test_a_command_signed_again_with_a_new_certificate_is_a_repeat(
    rig: CommandRig, keys: ControlKeys
) -> None:
    first = answer(rig, sign(MOVE_ARGS, keys.identity("amina")))
    assert answer(rig, sign(MOVE_ARGS, keys.identity("amina"))) == first
    for other in (keys.identity("badr"), keys.identity("amina", "supervisor")):
        assert "another command" in rejection_of(answer(rig, sign(MOVE_ARGS, other)))[1]
    assert rig.head.calls == ["PtzMoveArgs"]


def test_without_a_trusted_clock_a_command_names_the_present_session(
    rig: CommandRig, keys: ControlKeys, clock: ManualClock, authority: ControlAuthority
) -> None:
    clock.synced = False
    clock.step_s(-20 * 365 * 86_400)
    amina = keys.identity("amina")
    kind, why = rejection_of(answer(rig, sign(MOVE_ARGS, amina)))
    assert (kind, "session: missing" in why) == ("expired", True)
    assert rejection_of(answer(rig, sign(MOVE_ARGS, amina, session=11)))[0] == "expired"
    assert isinstance(answer(rig, sign(MOVE_ARGS, amina, session=12)), CommandDone)
    assert counts(authority) == {"other_session": 2}


@pytest.mark.parametrize("role", ["viewer", "operator", "maintainer", "centre"])
def test_a_stop_of_any_valid_certificate_passes_at_once_whatever_its_age(
    rig: CommandRig, keys: ControlKeys, clock: ManualClock, role: Any
) -> None:
    amina = keys.identity("amina", role)
    (lane,) = rig.dispatcher.stages[1:]
    for number, changes in enumerate(
        (
            {},
            {},  # a replay
            {"issued": NOW - timedelta(hours=9), "expires": NOW - timedelta(hours=8)},
            {"issued": NOW + timedelta(hours=1), "expires": NOW + timedelta(hours=9)},
            {"session": 11},
        )
    ):
        for synced in (True, False):
            clock.synced = synced
            rig.submit(sign(STOP_ARGS, amina, **changes), session=12, has_waited=number == 0)
            lane.run_once(threading.Event())
    assert rig.head.calls == ["stop"] * 10
    assert {type(reply) for reply in rig.replies} == {CommandDone}


def test_a_stop_without_a_valid_certificate_or_for_another_box_does_not_pass(
    rig: CommandRig, keys: ControlKeys
) -> None:
    for payload in (
        encode_command(STOP_ARGS),
        sign(STOP_ARGS, ControlKeys().identity()),
        sign(STOP_ARGS, keys.identity(begin=NOW - timedelta(days=1))),
        sign(STOP_ARGS, keys.identity(), box="pole-18"),
    ):
        assert rejection_of(answer(rig, payload))[0] == "unauthenticated"
    assert rig.head.calls == []


def test_lifting_a_mask_takes_two_people_who_may(
    rig: CommandRig, keys: ControlKeys, unmask: Unmask, authority: ControlAuthority
) -> None:
    salma, tarik = keys.identity("salma", "supervisor"), keys.identity("tarik", "supervisor")
    amina = keys.identity("amina", "operator")
    args = {"camera": "north"}

    def ask(*signers: SigningIdentity, command_id: str) -> Reply:
        payload = sign(args, *signers, command_id=command_id, verb="unmask")
        return answer(rig, payload, verb="unmask")

    assert "two people" in rejection_of(ask(salma, command_id="1"))[1]
    assert "'amina'" in rejection_of(ask(salma, amina, command_id="2"))[1]
    assert counts(authority) == {"wrong_role": 2}
    assert unmask.signers == []
    done = decode_result(ask(salma, tarik, command_id="3"))
    assert done == {"by": "salma (supervisor) and tarik (supervisor)"}
    ((first, second),) = unmask.signers
    assert (first.id, second.id) == ("salma", "tarik")


def test_the_configuration_limits_a_role_to_cameras(
    make_rig: MakeRig, keys: ControlKeys, authority: ControlAuthority
) -> None:
    def limited(*cameras: str) -> ControlConfig:
        entry = RolePermission(role="operator", actions=("move",), cameras=cameras)
        return ControlConfig(ca="ca.pem", permission=(entry,))

    payload = sign(MOVE_ARGS, keys.identity())
    other = make_rig(authority=authority, control=limited("yard"))
    assert rejection_of(answer(other, payload)) == (
        "forbidden",
        "the role operator of 'amina' does not permit 'move' on north",
    )
    assert isinstance(
        answer(make_rig(authority=authority, control=limited("north")), payload), CommandDone
    )


def test_a_revoked_certificate_commands_nothing_from_now_on(
    rig: CommandRig, keys: ControlKeys, authority: ControlAuthority
) -> None:
    amina = keys.identity()
    assert isinstance(answer(rig, sign(MOVE_ARGS, amina)), CommandDone)
    serial = f"{amina.certificate.serial_number:x}"
    authority.take_revocations(sign_revocations(1, NOW, [serial], keys.authority))
    for args in (MOVE_ARGS, STOP_ARGS):
        assert rejection_of(answer(rig, sign(args, amina, command_id="two")))[0] == (
            "unauthenticated"
        )


def test_without_its_revocation_list_a_box_takes_a_stop_and_nothing_else(
    make_rig: MakeRig, keys: ControlKeys, tmp_path: Path, clock: ManualClock
) -> None:
    lists = sign_revocations(1, NOW, [], keys.authority)
    keys.load(tmp_path, clock).take_revocations(lists)
    state_file(tmp_path).path.unlink()
    authority = keys.load(tmp_path, clock)
    rig = make_rig(authority=authority, control=ControlConfig(ca="ca.pem"))
    amina = keys.identity("amina")
    refused = answer(rig, sign(MOVE_ARGS, amina))
    assert isinstance(refused, CommandRefused)
    assert rejection_of(refused)[0] == "unauthenticated"
    (lane,) = rig.dispatcher.stages[1:]
    rig.submit(sign(STOP_ARGS, amina, command_id="two"))
    lane.run_once(threading.Event())
    rig.run_once()
    assert rig.head.calls == ["stop"]
    assert counts(authority) == {"revocations_lost": 1}
    authority.take_revocations(lists)
    assert not isinstance(answer(rig, sign(MOVE_ARGS, amina, command_id="three")), CommandRefused)


def test_a_command_at_the_box_itself_needs_no_signature(
    rig: CommandRig, authority: ControlAuthority
) -> None:
    replies: list[Reply] = []
    rig.dispatcher.submit_local(
        IncomingCommand(
            verb="ptz", payload=encode_command(MOVE_ARGS), via="test", send_reply=replies.append
        )
    )
    rig.run_once()
    assert isinstance(replies[0], CommandDone)
    assert counts(authority) == {}


def test_the_requester_in_receipts_has_the_role_of_the_certificate() -> None:
    signed = Requester(id="salma", role="operator", certificate_role="supervisor")
    assert signed.by == "salma (supervisor)"
    assert Requester(id="amina", role="operator").by == "amina"


def test_without_a_second_signature_the_requester_is_the_only_signer(
    unmask: Unmask, make_rig: MakeRig
) -> None:
    unsigned = make_rig(unmask)
    payload = encode_command({"camera": "north"})
    unsigned.submit(payload, verb="unmask")
    unsigned.run_once()
    assert [signer.id for signer in unmask.signers[0]] == ["amina"]

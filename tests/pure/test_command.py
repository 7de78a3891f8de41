"""agent.commands.command: parsing of commands, their expiry, and the topic of their reply. No I/O."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture import snapshot_command
from agent.commands.command import (
    MAX_COMMAND_BYTES,
    MAX_EXPIRY_S,
    MalformedCommand,
    build_command_struct,
    check_expiry,
    parse_command,
)
from agent.commands.idempotency_store import RETENTION_H
from agent.commands.requester import CommandRejected
from agent.gpio import gpio_command
from agent.ptz import ptz_command
from agent.reporting import topics
from tests.parts.command_rig import encode_command

PTZ = ptz_command.COMMAND
PTZ_TYPE = build_command_struct("ptz", ptz_command.Args)
NOW = datetime(2026, 11, 25, tzinfo=UTC)


def read(payload: bytes) -> Any:
    return parse_command(PTZ, PTZ_TYPE, payload, 1)


MOVE = {"do": "move", "head": "mast", "pan": 0.5}


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        (b"", "not JSON: Input data was truncated"),
        (b"\xff\xfe", "not JSON: JSON is malformed: invalid character (byte 0)"),
        (b"[" * 10_000, "not JSON: "),
        (
            b" " * (MAX_COMMAND_BYTES + 1),
            f"{MAX_COMMAND_BYTES + 1} bytes; allowed: {MAX_COMMAND_BYTES}",
        ),
        (b"7", "allowed: a table"),
        (b"{}", "id: missing; it has to be given"),
        (encode_command(MOVE, "a b"), "id = 'a b': allowed: letters, digits"),
        (encode_command(MOVE, "one\n"), r"id = 'one\n': allowed: letters, digits"),
        (
            encode_command(MOVE, expires="soon"),
            "expires = 'soon': allowed: a time with a zone",
        ),
        (
            encode_command(MOVE, expires="2026-11-25T00:01:00"),
            "expires = '2026-11-25T00:01:00': allowed: a time with a zone",
        ),
        (encode_command(MOVE, by="a\nb"), r"by = 'a\nb': allowed: one line of 1 to 64"),
        (
            encode_command(MOVE, role="tour"),
            "role = 'tour': allowed: 'incident', 'operator'",
        ),
        (encode_command(MOVE, token=1), "token: unknown key; allowed: id, expires, by, role, args"),
        (encode_command({**MOVE, "pan": 1.5}), "args.pan = 1.5: allowed: at most 1"),
        (
            encode_command({**MOVE, "speed": 1}),
            "args.speed: unknown key; allowed: pan, tilt, zoom, focus, for_s, head, token",
        ),
        (
            encode_command({"do": "fly"}),
            "args.do = 'fly': allowed: 'list', 'status'",
        ),
        (encode_command({"head": "mast"}), "args.do: missing; it has to be given"),
        (
            encode_command({"do": "stop", "head": "../x"}),
            "args.head = '../x': allowed: lower case letters",
        ),
        (encode_command({"do": "list", "head": "mast"}), "args.head: unknown key; allowed: none"),
        (
            encode_command({"do": "goto", "head": "mast", "pan_deg": 181, "tilt_deg": 0}),
            "args.pan_deg = 181: allowed: at most 180",
        ),
    ],
)
def test_a_mistake_is_described_in_one_line(payload: bytes, line: str) -> None:
    with pytest.raises(MalformedCommand) as message:
        read(payload)
    assert str(message.value).startswith(f"command ptz: {line}")
    assert "\n" not in str(message.value)


def test_a_malformed_command_is_answered_under_its_id_if_one_is_readable() -> None:
    with pytest.raises(MalformedCommand) as message:
        read(encode_command({"do": "fly"}, "a-1"))
    assert message.value.command_id == "a-1"
    with pytest.raises(MalformedCommand) as message:
        read(encode_command({"do": "fly"}, "not an id"))
    assert message.value.command_id is None


def test_an_error_message_stays_short_for_any_input() -> None:
    with pytest.raises(MalformedCommand) as message:
        read(encode_command({"do": "x" * 9000}))
    assert len(str(message.value)) < 600


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_random_bytes_are_always_rejected(payload: bytes) -> None:
    with pytest.raises(MalformedCommand):
        read(payload)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
def test_random_arguments_are_rejected_or_valid_for_the_verb(args: Any) -> None:
    for kind in (ptz_command.COMMAND, gpio_command.COMMAND, snapshot_command.COMMAND):
        try:
            order = parse_command(
                kind, build_command_struct(kind.verb, kind.args), encode_command(args), 1
            )
        except MalformedCommand:
            continue
        kind.describe(order.args)


def test_equal_commands_have_equal_digests_at_any_expiry() -> None:
    one = read(encode_command(MOVE))
    assert read(encode_command(dict(reversed(MOVE.items())))).digest == one.digest
    assert read(encode_command(MOVE, "two", expires="2026-11-25T00:02:00Z")).digest == one.digest
    for other in (
        encode_command({**MOVE, "pan": 0.4}),
        encode_command(MOVE, by="badr"),
        encode_command(MOVE, role="incident"),
    ):
        assert read(other).digest != one.digest


@pytest.mark.parametrize(
    ("ahead_s", "kind"),
    [
        (-3600, "expired"),
        (-0.001, "expired"),
        (0, "expired"),
        (0.001, None),
        (30, None),
        (MAX_EXPIRY_S, None),
        (MAX_EXPIRY_S + 1, "malformed"),
        (1e9, "malformed"),
    ],
)
def test_a_command_is_valid_until_it_expires_and_for_an_hour_at_most(
    ahead_s: float, kind: str | None
) -> None:
    expires = (NOW + timedelta(seconds=ahead_s)).isoformat()
    order = read(encode_command(MOVE, expires=expires))
    if kind is None:
        check_expiry(order, NOW)
        return
    with pytest.raises(CommandRejected) as message:
        check_expiry(order, NOW)
    assert message.value.code == kind


def test_commands_are_remembered_longer_than_they_are_valid() -> None:
    assert RETENTION_H * 3600 > MAX_EXPIRY_S


@pytest.mark.parametrize(
    ("requested", "topic"),
    [
        (None, "reply"),
        ("vigie/v1/pole-17/up/reply", "reply"),
        ("vigie/v1/pole-17/up/reply/amina/7", "reply/amina/7"),
        ("vigie/v1/pole-18/up/reply", "reply"),
        ("vigie/v1/pole-17/up/event/north/line", "reply"),
        ("vigie/v1/pole-17/up/replyx", "reply"),
        ("vigie/v1/pole-17/up/reply/#", "reply"),
        ("vigie/v1/pole-17/up/reply/+/a", "reply"),
        ("vigie/v1/pole-17/up/reply/" + "x" * 300, "reply"),
        ("vigie/v1/pole-17/down/command/ptz", "reply"),
        ("elsewhere/up/reply", "reply"),
        ("", "reply"),
    ],
)
def test_a_box_replies_under_its_own_reply_topic_and_nowhere_else(
    requested: str | None, topic: str
) -> None:
    assert topics.choose_reply_topic("pole-17", requested) == topic


@pytest.mark.parametrize(
    ("topic", "verb"),
    [
        ("vigie/v1/pole-17/down/command/ptz", "ptz"),
        ("vigie/v1/pole-17/down/command/", None),
        ("vigie/v1/pole-17/down/command/ptz/x", None),
        ("vigie/v1/pole-18/down/command/ptz", None),
        ("vigie/v1/pole-17/down/ack/city", None),
    ],
)
def test_a_commands_topic_names_its_verb(topic: str, verb: str | None) -> None:
    assert topics.parse_command_topic("pole-17", topic) == verb


def test_each_do_of_ptz_has_a_name_for_the_log() -> None:
    tags = {
        kind.__struct_config__.tag
        for kind in msgspec.inspect.type_info(ptz_command.Args).types  # type: ignore[union-attr,attr-defined]
        for kind in [kind.cls]
    }
    assert {"stop", "move", "goto", "goto_preset", "acquire", "release", "sweep"} <= tags

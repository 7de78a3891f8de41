"""agent.commands.dispatcher and idempotency_store: a command is executed once, and each gets an answer.
Real SQLite on disk.
"""

import logging
import sqlite3
import threading
from typing import Any

import pytest

from agent.base.model import CommandRefused
from agent.commands import idempotency_store as store_module
from agent.commands.dispatcher import MAX_QUEUED_COMMANDS, MAX_QUEUED_TASKS
from agent.commands.requester import Requester
from agent.gpio.gpio_command import GpioCommandHandler
from agent.ptz.ptz_args import PtzMoveArgs
from drivers.errors import DriverError
from tests.conftest import ManualClock
from tests.parts.command_rig import (
    MOVE_ARGS,
    PRESET_SET_ARGS,
    STOP_ARGS,
    CommandRig,
    MakeRig,
    decode_result,
    make_rig,
    rejection_of,
    rig,
)

__all__ = ["make_rig", "rig"]


def test_a_move_acquires_the_head_and_its_reply_contains_the_lease(rig: CommandRig) -> None:
    lease = decode_result(rig.run_command(MOVE_ARGS))["lease"]
    assert lease == {"token": 1, "by": "amina", "role": "operator", "remaining_s": 30.0}
    assert rig.head.calls == ["PtzMoveArgs"]


def test_a_repeat_gets_the_first_reply_and_is_not_executed(rig: CommandRig) -> None:
    first = rig.run_command(MOVE_ARGS)
    rig.clock.advance_s(10)
    assert rig.run_command(MOVE_ARGS) == first
    assert rig.run_command(MOVE_ARGS, expires="2026-11-25T00:00:59Z") == first
    assert rig.head.calls == ["PtzMoveArgs"]


def test_a_repeat_gets_the_first_reply_after_a_restart_and_after_its_expiry(
    rig: CommandRig, make_rig: MakeRig, clock: ManualClock
) -> None:
    replies = [
        rig.run_command(args, ident)
        for ident, args in (("a", MOVE_ARGS), ("b", PRESET_SET_ARGS), ("c", {"do": "x"}))
    ]
    rig.dispatcher.close()
    clock.advance_s(3600)
    again = make_rig()
    assert [
        again.run_command(args, ident) for ident, args in (("a", MOVE_ARGS), ("b", PRESET_SET_ARGS))
    ] == replies[:2]
    assert again.head.calls == []


def test_an_id_of_another_command_is_rejected(rig: CommandRig) -> None:
    rig.run_command(MOVE_ARGS)
    for change in ({"args": {**MOVE_ARGS, "pan": 0.1}}, {"by": "badr"}):
        args: Any = change.get("args", MOVE_ARGS)
        kind, why = rejection_of(
            rig.run_command(args, **{k: v for k, v in change.items() if k != "args"})
        )
        assert kind == "malformed"
        assert "another command" in why
    assert rig.head.calls == ["PtzMoveArgs"]


def test_a_command_of_the_agent_itself_is_executed_once_and_answered_like_any_other(
    rig: CommandRig,
) -> None:
    amina = Requester(id="amina", role="incident")
    for pan in (0.5, 0.5, 0.6):
        rig.dispatcher.submit_own(
            "ptz",
            PtzMoveArgs(head="mast", pan=pan),
            amina,
            command_id="own",
            via="an incident",
            send_reply=rig.replies.append,
        )
        rig.run_all()
    first, repeat, other = rig.replies
    assert decode_result(first)["lease"]["role"] == "incident"
    assert repeat == first
    assert rejection_of(other)[0] == "malformed"
    assert rig.head.calls == ["PtzMoveArgs"]


def test_a_rejection_by_the_head_is_repeated_for_a_repeat(rig: CommandRig) -> None:
    rig.run_command(MOVE_ARGS)
    incident = {"role": "incident", "by": "rescue"}
    kind, why = rejection_of(rig.run_command(MOVE_ARGS, "two", **incident))
    assert kind == "busy"
    assert "'amina' (operator) has it for 30 s more" in why
    rig.clock.advance_s(31)
    assert rejection_of(rig.run_command(MOVE_ARGS, "two", **incident))[0] == "busy"
    assert decode_result(rig.run_command(MOVE_ARGS, "three", **incident))["lease"]["token"] == 2


def test_an_unknown_head_is_answered_with_the_known_heads(rig: CommandRig) -> None:
    assert rejection_of(rig.run_command({**MOVE_ARGS, "head": "roof"})) == (
        "unknown",
        "head 'roof': no head of this name; there are: mast",
    )


def test_an_unknown_verb_is_answered_with_the_known_verbs(rig: CommandRig) -> None:
    assert rejection_of(rig.run_command({}, verb="dance")) == (
        "unsupported",
        "'dance': this box has no such command; allowed: ptz",
    )


def test_an_expired_command_is_not_executed(rig: CommandRig) -> None:
    rig.clock.advance_s(60)
    assert rejection_of(rig.run_command(MOVE_ARGS))[0] == "expired"
    assert rig.head.calls == []


def test_expiry_is_checked_when_a_command_starts(rig: CommandRig) -> None:
    rig.send(MOVE_ARGS)
    rig.clock.advance_s(60)
    rig.run_once()
    assert rejection_of(rig.replies[0])[0] == "expired"


def test_without_a_trusted_clock_no_command_expires(rig: CommandRig, clock: ManualClock) -> None:
    clock.synced = False
    assert decode_result(rig.run_command(MOVE_ARGS, expires="2020-01-01T00:00:00Z"))
    assert decode_result(rig.run_command(MOVE_ARGS, "two", expires="2099-01-01T00:00:00Z"))


def test_retained_commands_and_stops_are_never_executed(rig: CommandRig) -> None:
    for args in (MOVE_ARGS, STOP_ARGS):
        kind, why = rejection_of(rig.run_command(args, retained=True))
        assert kind == "malformed"
        assert "retained" in why
    assert rig.head.calls == []


def test_a_non_repeatable_command_is_stored_before_it_is_executed(
    rig: CommandRig, make_rig: MakeRig
) -> None:
    """The agent dies during the command: the reply to the repeat is that the outcome is unknown."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    rig.head.set_preset = die  # type: ignore[method-assign,assignment]
    ledger = rig.idempotency_store
    ledger.record_reply = lambda *_, **__: None  # type: ignore[method-assign] # it is dead
    with pytest.raises(KeyboardInterrupt):
        rig.run_command(PRESET_SET_ARGS)
    rig.dispatcher.close()
    again = make_rig()
    for _ in range(2):
        kind, why = rejection_of(again.run_command(PRESET_SET_ARGS))
        assert kind == "failed"
        assert "not known whether it was done" in why
    assert again.head.calls == []
    assert decode_result(again.run_command(PRESET_SET_ARGS, "another")) == {}


def test_an_unexpected_exception_is_answered_and_raised_to_the_stage(rig: CommandRig) -> None:
    rig.head.delete_preset = lambda *_: 1 / 0  # type: ignore[method-assign,assignment]
    delete = {"do": "delete_preset", "head": "mast", "preset": "gate"}
    with pytest.raises(ZeroDivisionError):
        rig.run_command(delete)
    kind, why = rejection_of(rig.replies[0])
    assert (kind, why) == ("failed", "the agent failed at it: ZeroDivisionError")
    assert rejection_of(rig.run_command(delete)) == (kind, why)


@pytest.mark.parametrize(
    ("driver", "kind"),
    [
        ("absent", "unavailable"),
        ("closed", "unavailable"),
        ("timeout", "unavailable"),
        ("busy", "busy"),
        ("protocol", "failed"),
        ("unsupported", "unsupported"),
        ("stuck", "unavailable"),
    ],
)
def test_a_device_failure_is_answered_with_its_code(
    make_rig: MakeRig, driver: Any, kind: str
) -> None:
    def drive(*_: object) -> None:
        raise DriverError(driver, "the chip is gone")

    rig = make_rig(GpioCommandHandler(drive))
    reply = rig.run_command({"pin": "siren", "active": True}, verb="gpio")
    assert rejection_of(reply) == (kind, "the chip is gone")


def test_a_pin_is_switched_for_its_requester(make_rig: MakeRig) -> None:
    driven: list[object] = []
    rig = make_rig(GpioCommandHandler(lambda *given: driven.append(given)))
    reply = rig.run_command({"pin": "siren", "active": True, "for_s": 5}, verb="gpio")
    assert decode_result(reply) == {"pin": "siren", "active": True}
    assert driven == [("siren", True, 5.0, "amina")]


class Broken:
    """A disk that refuses: the ledger's folder is not there any more, and comes back."""

    def __init__(self, rig: CommandRig) -> None:
        self._rig = rig
        self._aside = rig.folder.with_name("aside")
        rig.idempotency_store.close()
        rig.folder.rename(self._aside)

    def mend(self) -> None:
        if self._rig.folder.exists():
            self._rig.folder.rmdir()
        self._aside.rename(self._rig.folder)


@pytest.mark.raises_fault("CTL-01")
def test_without_a_store_stops_and_moves_pass_and_non_repeatable_commands_do_not(
    rig: CommandRig,
) -> None:
    rig.run_command({"do": "list"}, "zero")
    disk = Broken(rig)
    assert decode_result(rig.run_command(MOVE_ARGS))
    assert rig.active_faults() == ["CTL-01"]
    assert decode_result(rig.run_command({"do": "status", "head": "mast"}, "two"))["heads"]
    kind, why = rejection_of(rig.run_command(PRESET_SET_ARGS, "three"))
    assert kind == "failed"
    assert "cannot be stored" in why
    assert rig.head.calls == ["PtzMoveArgs"]
    # What memory holds is not repeated all the same.
    assert decode_result(rig.run_command(MOVE_ARGS))
    assert rig.head.calls == ["PtzMoveArgs"]
    disk.mend()
    rig.head.come_to_rest()
    assert decode_result(rig.run_command(PRESET_SET_ARGS, "three"))["lease"]
    assert rig.active_faults() == []


def test_a_recovered_disk_is_detected_without_a_command(rig: CommandRig) -> None:
    disk = Broken(rig)
    rig.idempotency_store.probe_after_failure()
    assert rig.active_faults() == ["CTL-01"]
    disk.mend()
    rig.idempotency_store.probe_after_failure()
    assert rig.active_faults() == ["CTL-01"], "it is not tried at each turn"
    rig.clock.advance_s(store_module.PROBE_INTERVAL_S)
    rig.idempotency_store.probe_after_failure()
    assert rig.active_faults() == []


def test_a_damaged_idempotency_store_is_set_aside_and_commands_continue(
    rig: CommandRig, make_rig: MakeRig
) -> None:
    rig.run_command(MOVE_ARGS)
    rig.dispatcher.close()
    file = rig.folder / "commands.db"
    file.write_bytes(b"rubbish" * 1000)
    again = make_rig()
    assert rejection_of(again.run_command(PRESET_SET_ARGS))[0] == "failed"
    assert decode_result(again.run_command(PRESET_SET_ARGS)) == {}
    assert (rig.folder / "commands.db.unreadable").read_bytes().startswith(b"rubbish")


@pytest.mark.raises_fault("CTL-01")
def test_an_idempotency_store_with_a_damaged_index_is_set_aside_too(
    rig: CommandRig, make_rig: MakeRig
) -> None:
    rig.run_command(MOVE_ARGS, "old")
    rig.dispatcher.close()
    # To delete a row that an index does not have is SQLITE_CORRUPT_INDEX, an extended code.
    with sqlite3.connect(rig.folder / "commands.db") as db:
        db.execute("CREATE TABLE empty (a, b)")
        db.execute("CREATE INDEX empty_index ON empty (a, b)")
        db.execute("PRAGMA writable_schema = ON")
        db.execute(
            "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema "
            "WHERE name = 'empty_index') WHERE name = 'command_by_expiry'"
        )
    db.close()
    rig.clock.advance_s(25 * 3600)
    again, later = make_rig(), "2026-11-26T01:00:30Z"
    assert rejection_of(again.run_command(PRESET_SET_ARGS, expires=later))[0] == "failed"
    assert decode_result(again.run_command(PRESET_SET_ARGS, expires=later)) == {}
    assert (rig.folder / "commands.db.unreadable").exists()


def test_the_store_is_bounded_and_drops_the_soonest_expired_first(
    rig: CommandRig, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MAX_RECORDS_PER_KIND", 5)
    monkeypatch.setattr(store_module, "MAX_CACHED_REPLIES", 1)
    for number in range(8):
        assert decode_result(rig.run_command(MOVE_ARGS, f"m{number}"))
    rig.head.come_to_rest()
    for number in range(5):
        reply = rig.run_command({**PRESET_SET_ARGS, "preset": f"p{number}"}, f"s{number}")
        assert decode_result(reply)["lease"]
    kind, why = rejection_of(rig.run_command(PRESET_SET_ARGS, "one-more"))
    assert kind == "busy"
    assert "5 commands that must not be done twice may still be repeated" in why
    assert rig.active_faults() == []
    clock.advance_s(61)
    reply = rig.run_command(PRESET_SET_ARGS, "one-more", expires="2026-11-25T00:30:00Z")
    assert decode_result(reply) == {}
    with sqlite3.connect(rig.folder / "commands.db") as db:
        rows = db.execute(
            "SELECT at_most_once, COUNT(*) FROM command GROUP BY at_most_once"
        ).fetchall()
    db.close()
    assert rows == [(0, 5), (1, 5)]


def test_the_store_drops_by_age_only_with_a_trusted_clock(
    rig: CommandRig, clock: ManualClock
) -> None:
    def count() -> int:
        db = sqlite3.connect(rig.folder / "commands.db")
        (rows,) = db.execute("SELECT COUNT(*) FROM command").fetchone()
        db.close()
        return int(rows)

    rig.run_command(PRESET_SET_ARGS, "old")
    clock.advance_s(25 * 3600)
    clock.synced = False
    rig.run_command(PRESET_SET_ARGS, "untrusted")
    assert count() == 2
    clock.synced = True
    rig.run_command(PRESET_SET_ARGS, "new", expires="2026-11-26T01:00:30Z")
    assert count() == 1


def test_beyond_the_bounds_commands_are_dropped_counted_and_a_stop_passes(
    rig: CommandRig, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(MAX_QUEUED_COMMANDS + 10):
        rig.send(MOVE_ARGS, f"m{number}")
    for _ in range(MAX_QUEUED_TASKS):
        rig.submit(b"rubbish")
    counts = rig.dispatcher.health()
    assert counts.waiting == MAX_QUEUED_COMMANDS
    assert counts.dropped == 10 + MAX_QUEUED_COMMANDS
    rig.send(STOP_ARGS, "stop")
    (express,) = rig.dispatcher.stages[1:]
    express.run_once(threading.Event())
    assert rig.head.calls == ["stop"]
    assert "64 wait already" in caplog.text
    rig.dispatcher.close()


def test_each_command_and_its_outcome_are_one_log_line_for_any_content(
    rig: CommandRig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rig.run_command(MOVE_ARGS, by="amina\u2028x")
    rig.run_command({**MOVE_ARGS, "head": "roof"}, "two")
    rig.submit(b'{"id": "three", "by": "a\\nb"}')
    rig.run_once()
    lines = [record.getMessage() for record in caplog.records if "command" in record.getMessage()]
    assert lines == [
        r"command one: ptz mast move, by 'amina\u2028x' (operator) over test: done after 0.0 ms",
        (
            "command two: ptz roof move, by 'amina' (operator) over test: refused, unknown: "
            "\"head 'roof': no head of this name; there are: mast\" after 0.0 ms"
        ),
        (
            "command 'ptz' over test: refused, malformed: "
            "\"command ptz: by = 'a\\\\nb': allowed: one line of 1 to 64 characters\""
        ),
    ]


def test_command_counts_are_in_the_health_report(rig: CommandRig) -> None:
    rig.run_command(MOVE_ARGS)
    rig.run_command({**MOVE_ARGS, "head": "roof"}, "two")
    rig.send(MOVE_ARGS, "three")
    counts = rig.dispatcher.health()
    assert (counts.waiting, counts.running, counts.done, counts.refused, counts.dropped) == (
        1,
        0,
        1,
        1,
        0,
    )
    assert isinstance(rig.replies[1], CommandRefused)

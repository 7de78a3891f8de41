"""A command is done once, and each gets an answer. Real SQLite on disk."""

import logging
import sqlite3
import threading
from typing import Any

import pytest

from agent.base.model import CommandRefused
from agent.commands import idempotency_store as ledger_module
from agent.commands.dispatcher import NEWS_MOST, WAITING_MOST
from agent.gpio.gpio_command import GpioCommandHandler
from drivers.errors import DriverError
from tests.conftest import HeldClock
from tests.pure.command_rig import (
    MOVE,
    SET,
    STOP,
    MakeRig,
    Rig,
    make_rig,
    refused,
    result,
    rig,
)

__all__ = ["make_rig", "rig"]


def test_a_move_takes_the_head_and_its_reply_has_the_lease(rig: Rig) -> None:
    lease = result(rig.ask(MOVE))["lease"]
    assert lease == {"token": 1, "by": "amina", "role": "operator", "left_s": 30.0}
    assert rig.mast.calls == ["Move"]


def test_a_repeat_gets_the_first_reply_and_nothing_is_done(rig: Rig) -> None:
    first = rig.ask(MOVE)
    rig.clock.pass_s(10)
    assert rig.ask(MOVE) == first
    assert rig.ask(MOVE, expires="2026-11-25T00:00:59Z") == first
    assert rig.mast.calls == ["Move"]


def test_a_repeat_gets_the_first_reply_after_a_restart_too_and_after_its_expiry(
    rig: Rig, make_rig: MakeRig, clock: HeldClock
) -> None:
    replies = [
        rig.ask(args, ident) for ident, args in (("a", MOVE), ("b", SET), ("c", {"do": "x"}))
    ]
    rig.desk.close()
    clock.pass_s(3600)
    again = make_rig()
    assert [again.ask(args, ident) for ident, args in (("a", MOVE), ("b", SET))] == replies[:2]
    assert again.mast.calls == []


def test_an_id_that_was_another_command_s_is_refused(rig: Rig) -> None:
    rig.ask(MOVE)
    for change in ({"args": {**MOVE, "pan": 0.1}}, {"by": "badr"}):
        args: Any = change.get("args", MOVE)
        kind, why = refused(rig.ask(args, **{k: v for k, v in change.items() if k != "args"}))
        assert kind == "malformed"
        assert "another command" in why
    assert rig.mast.calls == ["Move"]


def test_what_the_head_refuses_is_refused_and_so_is_the_repeat(rig: Rig) -> None:
    rig.ask(MOVE)
    incident = {"role": "incident", "by": "rescue"}
    kind, why = refused(rig.ask(MOVE, "two", **incident))
    assert kind == "busy"
    assert "'amina' (operator) has it for 30 s more" in why
    rig.clock.pass_s(31)
    assert refused(rig.ask(MOVE, "two", **incident))[0] == "busy"
    assert result(rig.ask(MOVE, "three", **incident))["lease"]["token"] == 2


def test_an_unknown_head_is_answered_with_those_that_there_are(rig: Rig) -> None:
    assert refused(rig.ask({**MOVE, "head": "roof"})) == (
        "unknown",
        "head 'roof': none of that name; there are: mast",
    )


def test_an_unknown_verb_is_answered_with_those_that_there_are(rig: Rig) -> None:
    assert refused(rig.ask({}, verb="dance")) == (
        "malformed",
        "'dance': no such command; allowed: ptz",
    )


def test_an_expired_command_is_not_done(rig: Rig) -> None:
    rig.clock.pass_s(60)
    assert refused(rig.ask(MOVE))[0] == "expired"
    assert rig.mast.calls == []


def test_it_is_when_a_command_is_begun_that_it_must_be_good(rig: Rig) -> None:
    rig.send(MOVE)
    rig.clock.pass_s(60)
    rig.turn()
    assert refused(rig.replies[0])[0] == "expired"


def test_while_the_clock_is_not_trusted_no_command_is_too_late(rig: Rig, clock: HeldClock) -> None:
    clock.synced = False
    assert result(rig.ask(MOVE, expires="2020-01-01T00:00:00Z"))
    assert result(rig.ask(MOVE, "two", expires="2099-01-01T00:00:00Z"))


def test_a_retained_command_is_never_done_and_neither_is_a_retained_stop(rig: Rig) -> None:
    for args in (MOVE, STOP):
        kind, why = refused(rig.ask(args, retained=True))
        assert kind == "malformed"
        assert "retained" in why
    assert rig.mast.calls == []


def test_what_must_not_be_done_twice_is_written_before_it_is_done(
    rig: Rig, make_rig: MakeRig
) -> None:
    """The agent dies within it: the repeat is told that nobody knows."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    rig.mast.preset_set = die  # type: ignore[method-assign,assignment]
    ledger = rig.ledger
    ledger.end = lambda *_, **__: None  # type: ignore[method-assign] # it is dead
    with pytest.raises(KeyboardInterrupt):
        rig.ask(SET)
    rig.desk.close()
    again = make_rig()
    for _ in range(2):
        kind, why = refused(again.ask(SET))
        assert kind == "failed"
        assert "whether it was done is not known" in why
    assert again.mast.calls == []
    assert result(again.ask(SET, "another"))["lease"]


def test_a_bug_in_a_verb_is_answered_and_goes_on_to_the_stage(rig: Rig) -> None:
    rig.mast.preset_delete = lambda *_: 1 / 0  # type: ignore[method-assign,assignment]
    delete = {"do": "preset_delete", "head": "mast", "preset": "gate"}
    with pytest.raises(ZeroDivisionError):
        rig.ask(delete)
    kind, why = refused(rig.replies[0])
    assert (kind, why) == ("failed", "the agent failed at it: ZeroDivisionError")
    assert refused(rig.ask(delete)) == (kind, why)


@pytest.mark.parametrize(
    ("driver", "kind"),
    [
        ("absent", "absent"),
        ("timeout", "absent"),
        ("busy", "busy"),
        ("protocol", "failed"),
        ("unsupported", "unsupported"),
        ("stuck", "absent"),
    ],
)
def test_a_device_s_failure_is_refused_with_its_kind(
    make_rig: MakeRig, driver: Any, kind: str
) -> None:
    def drive(*_: object) -> None:
        raise DriverError(driver, "the chip is gone")

    rig = make_rig(GpioCommandHandler(drive))
    reply = rig.ask({"pin": "siren", "active": True}, verb="gpio")
    assert refused(reply) == (kind, "the chip is gone")


def test_a_pin_is_driven_for_whom_asks(make_rig: MakeRig) -> None:
    driven: list[object] = []
    rig = make_rig(GpioCommandHandler(lambda *given: driven.append(given)))
    reply = rig.ask({"pin": "siren", "active": True, "for_s": 5}, verb="gpio")
    assert result(reply) == {"pin": "siren", "active": True}
    assert driven == [("siren", True, 5.0, "amina")]


class Broken:
    """A disk that refuses: the ledger's folder is not there any more, and comes back."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._aside = rig.folder.with_name("aside")
        rig.ledger.close()
        rig.folder.rename(self._aside)

    def mend(self) -> None:
        if self._rig.folder.exists():
            self._rig.folder.rmdir()
        self._aside.rename(self._rig.folder)


@pytest.mark.raises_fault("CTL-01")
def test_without_a_ledger_a_stop_and_a_move_pass_and_what_must_not_be_repeated_does_not(
    rig: Rig,
) -> None:
    rig.ask({"do": "list"}, "zero")
    disk = Broken(rig)
    assert result(rig.ask(MOVE))
    assert rig.faults_now() == ["CTL-01"]
    assert result(rig.ask({"do": "where", "head": "mast"}, "two"))["heads"]
    kind, why = refused(rig.ask(SET, "three"))
    assert kind == "failed"
    assert "cannot be written down" in why
    assert rig.mast.calls == ["Move"]
    # What memory holds is not repeated all the same.
    assert result(rig.ask(MOVE))
    assert rig.mast.calls == ["Move"]
    disk.mend()
    assert result(rig.ask(SET, "three"))["lease"]
    assert rig.faults_now() == []


def test_a_disk_that_takes_again_is_found_without_a_command(rig: Rig) -> None:
    disk = Broken(rig)
    rig.ledger.mend()
    assert rig.faults_now() == ["CTL-01"]
    disk.mend()
    rig.ledger.mend()
    assert rig.faults_now() == ["CTL-01"], "it is not tried at each turn"
    rig.clock.pass_s(ledger_module.MEND_EVERY_S)
    rig.ledger.mend()
    assert rig.faults_now() == []


def test_a_damaged_ledger_is_set_aside_and_commands_go_on(rig: Rig, make_rig: MakeRig) -> None:
    rig.ask(MOVE)
    rig.desk.close()
    file = rig.folder / "commands.db"
    file.write_bytes(b"rubbish" * 1000)
    again = make_rig()
    assert refused(again.ask(SET))[0] == "failed"
    assert result(again.ask(SET))["lease"]
    assert (rig.folder / "commands.db.damaged").read_bytes().startswith(b"rubbish")


def test_the_ledger_is_bounded_by_count_and_forgets_the_soonest_expired_first(
    rig: Rig, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "KEPT_MOST", 5)
    monkeypatch.setattr(ledger_module, "RECENT_MOST", 1)
    for number in range(8):
        assert result(rig.ask(MOVE, f"m{number}"))
    for number in range(5):
        assert result(rig.ask({**SET, "preset": f"p{number}"}, f"s{number}"))
    kind, why = refused(rig.ask(SET, "one-more"))
    assert kind == "busy"
    assert "5 commands that must not be done twice may still be repeated" in why
    assert rig.faults_now() == []
    clock.pass_s(61)
    assert result(rig.ask(SET, "one-more", expires="2026-11-25T00:30:00Z"))
    with sqlite3.connect(rig.folder / "commands.db") as db:
        rows = db.execute("SELECT once, COUNT(*) FROM command GROUP BY once").fetchall()
    db.close()
    assert rows == [(0, 5), (1, 5)]


def test_the_ledger_forgets_by_age_and_never_while_the_clock_is_not_trusted(
    rig: Rig, clock: HeldClock
) -> None:
    def count() -> int:
        db = sqlite3.connect(rig.folder / "commands.db")
        (rows,) = db.execute("SELECT COUNT(*) FROM command").fetchone()
        db.close()
        return int(rows)

    rig.ask(SET, "old")
    clock.pass_s(25 * 3600)
    clock.synced = False
    rig.ask(SET, "untrusted")
    assert count() == 2
    clock.synced = True
    rig.ask(SET, "new", expires="2026-11-26T01:00:30Z")
    assert count() == 1


def test_beyond_the_bounds_commands_are_dropped_counted_and_a_stop_passes(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(WAITING_MOST + 10):
        rig.send(MOVE, f"m{number}")
    for _ in range(NEWS_MOST):
        rig.give(b"rubbish")
    counts = rig.desk.health()
    assert counts.waiting == WAITING_MOST
    assert counts.dropped == 10 + WAITING_MOST
    rig.send(STOP, "stop")
    (express,) = rig.desk.stages[1:]
    express.run_once(threading.Event())
    assert rig.mast.calls == ["stop"]
    assert "64 wait already" in caplog.text
    rig.desk.close()


def test_each_command_and_its_outcome_are_one_line_whatever_stands_in_it(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rig.ask(MOVE, by="amina\u2028x")
    rig.ask({**MOVE, "head": "roof"}, "two")
    rig.give(b'{"id": "three", "by": "a\\nb"}')
    rig.turn()
    lines = [record.getMessage() for record in caplog.records if "command" in record.getMessage()]
    assert lines == [
        r"command one: ptz mast move, by 'amina\u2028x' (operator) over test: done after 0.0 ms",
        (
            "command two: ptz roof move, by 'amina' (operator) over test: refused, unknown: "
            "\"head 'roof': none of that name; there are: mast\" after 0.0 ms"
        ),
        (
            "command 'ptz' over test: refused, malformed: "
            "\"command ptz: by = 'a\\\\nb': expected `str` matching regex "
            "'^[^\\\\\\\\x00-\\\\\\\\x1f\\\\\\\\x7f]{1,64}$(?!\\\\\\\\n)'\""
        ),
    ]


def test_counts_are_for_health(rig: Rig) -> None:
    rig.ask(MOVE)
    rig.ask({**MOVE, "head": "roof"}, "two")
    rig.send(MOVE, "three")
    counts = rig.desk.health()
    assert (counts.waiting, counts.running, counts.done, counts.refused, counts.dropped) == (
        1,
        0,
        1,
        1,
        0,
    )
    assert isinstance(rig.replies[1], CommandRefused)

"""agent.footage: the commands list, hold and release, on recorded footage and a real chain."""

import random
import shutil
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.base.clock import rfc3339
from agent.base.model import CommandAccepted
from agent.config.broker import BrokerConfig
from agent.config.configuration import InstitutionConfig
from agent.footage.footage_access import FootageAccess
from agent.footage.footage_worker import MAX_QUEUED, FootageWorker
from agent.footage.hold_command import HoldCommandHandler
from agent.footage.list_command import ListCommandHandler
from agent.footage.release_command import ReleaseCommandHandler
from agent.recording.custody.receipts import FootageGap, FootageViewed, ReceiptBody, parse_line
from agent.recording.retention.hold_store import HoldStore
from agent.recording.silence_gaps import CAMERA_LOST_REASON
from agent.runtime.stage import StageThread
from tests.conftest import ManualClock
from tests.parts.command_rig import CommandRig, decode_result, rejection_of
from tests.vectors.street import BOOT, BOOT_UTC, StreetBox
from tests.whole.command_box import CommandBox, CommandOperator
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import CLOCK

NS = 1_000_000_000
TRAM = InstitutionConfig(owner="Casa Tramway", purpose="safety", viewers=("samira",))
HOLD = {"camera": "north", "case": "2026/118", "reason": "accident"}
HOLD_ID = "019a4901-3c62-7d2a-9f0e-000000000001"


def at(seconds: float) -> str:
    return rfc3339(BOOT_UTC + timedelta(seconds=seconds))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recorded from 0 to 13 s and from 30 s to 39 s; the camera was lost for 10 s in between."""
    folder = tmp_path_factory.mktemp("recorded")
    box = StreetBox(folder / "state", "casa-0001")
    box.record("north", 1, 13)
    box.clock.now_ns = 28 * NS
    box.append_receipt(
        FootageGap(camera="north", begin_ns=15 * NS, end_ns=25 * NS, reason=CAMERA_LOST_REASON)
    )
    box.clock.now_ns = 30 * NS
    box.record("north", 2, 9)
    return folder


class FootageRig:
    """A dispatcher with the commands, on a copy of the recorded state, at 60 s of its time."""

    def __init__(self, state: Path, commands: Path, command_days: float = 30) -> None:
        self.box = StreetBox(state, "casa-0001")
        self.box.clock.now_ns = 60 * NS
        numbers = iter(range(1, 100))
        self.hold_store = HoldStore(
            state / "holds",
            self.box.clock,
            BOOT,
            lambda _t_ns: f"{HOLD_ID[:-4]}{next(numbers):04d}",
        )
        access = FootageAccess(
            state / "footage",
            self.box.custody,
            self.box.clock,
            {"tram": TRAM},
            frozenset({"north", "tram"}),
        )
        self.worker = FootageWorker()
        self.handlers = (
            ListCommandHandler(access, self.hold_store, self.worker, self.box.clock),
            HoldCommandHandler(access, self.hold_store, self.worker, command_days),
            ReleaseCommandHandler(access, self.hold_store),
        )
        commands.mkdir()
        self.rig = CommandRig(commands, ManualClock(), *self.handlers)
        self._count = 0

    def run(self, verb: str, args: dict[str, Any], by: str = "amina") -> Any:
        """The last reply of a command."""
        self._count += 1
        accepted = self.rig.run_command(args, f"id-{self._count}", verb=verb, by=by)
        if not isinstance(accepted, CommandAccepted):
            return accepted
        reply_count = len(self.rig.replies)
        self.worker.stage.run_once(None)  # type: ignore[arg-type] # there is a job
        self.rig.run_once()
        (reply,) = self.rig.replies[reply_count:]
        return reply

    def result(self, verb: str, args: dict[str, Any], by: str = "amina") -> dict[str, Any]:
        return decode_result(self.run(verb, args, by))

    def chain(self) -> list[ReceiptBody]:
        return [parse_line(line).receipt.body for line in self.box.custody.read_lines()]


@pytest.fixture
def state(recorded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(recorded / "state", tmp_path / "state")


@pytest.fixture
def footage(state: Path, tmp_path: Path) -> Iterator[FootageRig]:
    rig = FootageRig(state, tmp_path / "commands")
    yield rig
    rig.rig.idempotency_store.close()


def spans(listed: dict[str, Any]) -> list[tuple[str, str]]:
    return [(span["state"], span.get("reason", "")) for span in listed["spans"]]


def test_a_list_says_what_is_there_what_is_missing_and_why(footage: FootageRig) -> None:
    listed = footage.result("list", {"do": "footage", "camera": "north", "max_bytes": 60_000})
    assert spans(listed) == [
        ("recorded", ""),
        ("missing", "unknown"),
        ("missing", "camera_lost"),
        ("missing", "unknown"),
        ("recorded", ""),
        ("missing", "unknown"),
    ]
    assert "next" not in listed
    lost = listed["spans"][2]
    assert (lost["begin"], lost["end"]) == (at(15), at(25))
    assert listed["spans"][0]["begin"] == at(0)
    assert listed["spans"][0]["segments"] == 4
    assert not listed["spans"][0]["sealed"]
    (view,) = [body for body in footage.chain() if isinstance(body, FootageViewed)]
    assert (view.by, view.camera, view.begin_time) == ("amina", "north", at(0))


def test_a_list_of_a_span_has_that_span_alone(footage: FootageRig) -> None:
    args = {"do": "footage", "camera": "north", "begin": at(16), "end": at(24)}
    assert spans(footage.result("list", args)) == [("missing", "camera_lost")]
    later = {"do": "footage", "camera": "north", "begin": at(100), "end": at(200)}
    assert footage.result("list", later)["spans"] == []


@pytest.mark.parametrize("max_bytes", [600, 1200])
def test_pages_fit_and_together_are_the_whole_list(footage: FootageRig, max_bytes: int) -> None:
    for number in range(40):
        footage.box.append_receipt(
            FootageGap(
                camera="north",
                begin_ns=(40 * 1000 + number * 250) * 1_000_000,
                end_ns=(40 * 1000 + number * 250 + 250) * 1_000_000,
                reason=f"reason {number}",
            )
        )
    whole = footage.result("list", {"do": "footage", "camera": "north", "max_bytes": 60_000})
    args: dict[str, Any] = {"do": "footage", "camera": "north", "max_bytes": max_bytes}
    pages = [footage.result("list", args)]
    while "next" in pages[-1]:
        assert len(msgspec.json.encode(pages[-1])) < max_bytes + 100
        pages.append(footage.result("list", {**args, "after": pages[-1]["next"]}))
    assert len(pages) > 2
    assert [span for page in pages for span in page["spans"]] == whole["spans"]


def test_an_evicted_segment_is_missing_with_its_reason(footage: FootageRig) -> None:
    footage.box.evict("north", 1)
    listed = footage.result(
        "list", {"do": "footage", "camera": "north", "begin": at(0), "end": at(12)}
    )
    assert spans(listed) == [("recorded", ""), ("missing", "evicted"), ("recorded", "")]
    assert listed["spans"][1]["detail"] == "deleted by age"


def test_a_hold_says_what_is_there_of_it_and_what_was_evicted_already(footage: FootageRig) -> None:
    footage.box.evict("north", 0)
    held = footage.result("hold", {**HOLD, "begin": at(0), "end": at(12)})
    hold = held["hold"]
    assert (hold["owner"], hold["case"], hold["kind"]) == ("amina", "2026/118", "manual")
    assert (held["segments"], held["missing_count"]) == (2, 1)
    assert [(one["reason"], one["begin"]) for one in held["missing"]] == [("evicted", at(0))]
    (stored,) = footage.hold_store.active()
    assert (stored.id, stored.case) == (hold["hold"], "2026/118")
    assert hold["expires"] == at(60 + 30 * 86_400)


def test_a_hold_longer_than_the_configuration_allows_needs_two_people(footage: FootageRig) -> None:
    args = {**HOLD, "begin": at(0), "end": at(12), "days": 31}
    code, message = rejection_of(footage.run("hold", args))
    assert code == "forbidden"
    assert "days = 31: one requester holds footage for 30 days at most" in message
    assert "two people" in message
    code, message = rejection_of(footage.run("hold", {**args, "days": 91}))
    assert code == "malformed"
    assert footage.hold_store.active() == ()


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"camera": "yard"}, "unknown", "camera 'yard': has no footage here; there are: north"),
        ({"end": at(0)}, "malformed", "allowed: after begin"),
        ({"begin": "0001-01-01T00:00:00+14:00"}, "malformed", "begin = 0001"),
        ({"end": "9999-12-31T23:59:59-14:00"}, "malformed", "end = 9999"),
        ({"begin": "2026-11-25T01:00:00"}, "malformed", "begin"),
        ({"case": "   "}, "malformed", "case"),
        ({"case": "a\nb"}, "malformed", "case"),
    ],
)
def test_an_impossible_hold_is_refused_in_one_line(
    footage: FootageRig, change: dict[str, Any], code: str, message: str
) -> None:
    args = {**HOLD, "begin": at(0), "end": at(12), **change}
    found = rejection_of(footage.run("hold", args))
    assert found[0] == code
    assert message in found[1]
    assert "\n" not in found[1]


def test_holds_are_listed_with_owner_term_and_case_and_released_by_name(
    footage: FootageRig,
) -> None:
    ids = [
        footage.result("hold", {**HOLD, "begin": at(second), "end": at(second + 1)})["hold"]["hold"]
        for second in range(6)
    ]
    args: dict[str, Any] = {"do": "holds", "camera": "north", "max_bytes": 600}
    pages = [footage.result("list", args)]
    while "next" in pages[-1]:
        pages.append(footage.result("list", {**args, "after": pages[-1]["next"]}))
    assert len(pages) > 1
    assert [hold["hold"] for page in pages for hold in page["holds"]] == ids
    released = footage.result("release", {"hold": ids[0], "reason": "closed"}, by="yassine")
    assert released["hold"]["hold"] == ids[0]
    (request,) = footage.hold_store.pending_releases()
    assert (request.hold_id, request.by, request.reason) == (ids[0], "yassine", "closed")
    code, _ = rejection_of(footage.run("release", {"hold": ids[0], "reason": "closed"}))
    assert code == "unknown"


def test_a_lent_cameras_footage_is_for_its_viewers(footage: FootageRig) -> None:
    begin, end = datetime(2026, 11, 25, tzinfo=UTC), datetime(2026, 11, 26, tzinfo=UTC)
    hold = footage.hold_store.place("tram", begin, end, owner="samira", reason="x", days=1)
    commands = (
        ("list", {"do": "footage", "camera": "tram"}),
        ("list", {"do": "holds", "camera": "tram"}),
        ("hold", {**HOLD, "camera": "tram", "begin": at(0), "end": at(12)}),
        ("release", {"hold": hold.id, "reason": "x"}),
    )
    for verb, args in commands:
        assert rejection_of(footage.run(verb, args))[0] == "forbidden"
    for verb, args in commands:
        footage.result(verb, args, by="samira")


def test_no_list_without_its_receipt(footage: FootageRig, state: Path) -> None:
    shutil.rmtree(state / "custody")
    (state / "custody").write_text("no folder")
    code, message = rejection_of(footage.run("list", {"do": "holds", "camera": "north"}))
    assert code == "failed"
    assert "receipt" in message


def test_beyond_a_few_waiting_lists_the_next_is_busy(footage: FootageRig) -> None:
    args = {"do": "holds", "camera": "north"}
    for number in range(MAX_QUEUED):
        footage.rig.run_command(args, f"waiting-{number}", verb="list")
    assert rejection_of(footage.rig.run_command(args, "one-more", verb="list"))[0] == "busy"


@pytest.fixture
def small_broker(tmp_path: Path) -> Iterator[BrokerConfig]:
    """It takes packets of 2,000 bytes."""
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    broker = Mosquitto(folder, config="allow_anonymous true\nmax_packet_size 2000\n")
    yield BrokerConfig(url=broker.url, keepalive_s=5)
    broker.stop(signal.SIGKILL)


def test_lists_and_holds_pass_a_broker_that_takes_packets_of_2_kb(
    small_broker: BrokerConfig, state: Path, tmp_path: Path
) -> None:
    rig = FootageRig(state, tmp_path / "commands")
    for number in range(40):
        rig.box.append_receipt(
            FootageGap(
                camera="north",
                begin_ns=(40_000 + number * 250) * 1_000_000,
                end_ns=(40_250 + number * 250) * 1_000_000,
                reason=f"reason {number}",
            )
        )
    with CommandBox(tmp_path, small_broker, *rig.handlers) as box:
        thread = StageThread(rig.worker.stage, CLOCK.boottime_ns, random.Random(4), vital=False)
        thread.start()
        operator = CommandOperator(small_broker)
        args: dict[str, Any] = {"do": "footage", "camera": "north"}
        page = decode_result(operator.run_command(args, "first", verb="list"))
        count = len(page["spans"])
        while "next" in page:
            args["after"] = page["next"]
            page = decode_result(operator.run_command(args, f"page-{count}", verb="list"))
            count += len(page["spans"])
        assert count > 40
        hold = {**HOLD, "begin": at(0), "end": at(60)}
        held = decode_result(operator.run_command(hold, "hold", verb="hold"))
        assert held["missing_count"] > len(held["missing"])
        assert [fault.code for fault in box.faults.active()] == []
        operator.link.abort()
        thread.stop()
        assert thread.join(60)
    rig.rig.idempotency_store.close()

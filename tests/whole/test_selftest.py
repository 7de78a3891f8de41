"""A self-test on real boxes: one without an agent, one next to a running one, and broken parts."""

import json
import random
import shutil
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from agent.base import selftest_result
from agent.base.errors import UserError
from agent.base.message import Text
from agent.base.model import Event, SelfTestStep
from agent.commands.command import CommandHandler
from agent.config import configuration
from agent.config.broker import BrokerConfig
from agent.diagnostics.selftest import broker_check, checks, street_pattern
from agent.diagnostics.selftest.checks import CheckFailed
from agent.diagnostics.selftest.pipeline_run import PipelineRun, PipelineRunResult, PlayProgress
from agent.diagnostics.selftest.runner import LOCK_FILE, WORK_DIR, run_selftest
from agent.diagnostics.selftest.selftest_command import SelfTestCommandHandler
from agent.diagnostics.selftest.selftest_service import SelfTestService
from agent.recording.encryption.key_wrapping import unwrap_segment_key
from agent.recording.encryption.keys import generate_key_pair
from agent.recording.segment_name import KEYS_SUFFIX
from agent.reporting import outgoing_messages, topics
from agent.reporting.mqtt.packets import ReceivedPublish, Suback
from agent.reporting.payloads import EventMessage, ReplyMessage
from drivers.media import NS_PER_S
from tests.whole.command_box import BOX, CommandBox
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import CLOCK, open_outbox
from tests.whole.report.reporting_box import BareClient

STEPS = ["capture", "detect", "record", "seal", "export", "outbox", "broker"]
CAMERA = '[[camera]]\nname = "north"\ndriver = "fake"\noptions = {}\n'
NOT_WATCHED = CAMERA + "detect = { enabled = false }\n"


def written(folder: Path, url: str, camera: str = CAMERA, more: str = "") -> Path:
    """A box's configuration; its state is the folder itself."""
    path = folder / "vigie.toml"
    path.write_text(
        f'[box]\nid = "{BOX}"\nsite = "A street"\nstate = "."\n'
        f'[broker]\nurl = "{url}"\n{more}{camera}'
    )
    return path


class BoxListener(BareClient):
    """Receives every message of a box."""

    def __init__(self, broker: BrokerConfig) -> None:
        # It has other things to do while a self-test runs.
        super().__init__(msgspec.structs.replace(broker, keepalive_s=600), "listener")
        self.link.subscribe([topics.up_topic(BOX, "#")])
        self.wait_for(Suback)

    def receive(self, what: str) -> ReceivedPublish:
        """The next message on a topic under `up/`."""
        while True:
            received = self.wait_for(ReceivedPublish)
            assert isinstance(received, ReceivedPublish)
            if received.topic == topics.up_topic(BOX, what):
                return received


@pytest.fixture
def broker(mosquitto: Mosquitto) -> BrokerConfig:
    return BrokerConfig(url=mosquitto.url, keepalive_s=5)


@pytest.fixture
def listener(broker: BrokerConfig) -> Iterator[BoxListener]:
    connected = BoxListener(broker)
    yield connected
    connected.link.abort()


def test_a_box_without_an_agent_is_tested_with_its_own_credentials_and_the_result_is_queued(
    mosquitto: Mosquitto, listener: BoxListener, tmp_path: Path
) -> None:
    folder = tmp_path / "box"
    (folder / WORK_DIR).mkdir(parents=True)
    (folder / WORK_DIR / "left").write_text("by a self-test that was killed")
    recipient = generate_key_pair(tmp_path / "centre.pem")
    more = f'[[record.recipient]]\nid = "centre"\npublic_key = "{recipient}"\n'
    path = written(folder, mosquitto.url, more=more)
    reported = subprocess.run(
        [sys.executable, "-m", "agent", "selftest", "--config", str(path), "--json"],
        capture_output=True,
        check=False,
    )
    assert reported.stdout, reported.stderr.decode()
    report = msgspec.json.decode(reported.stdout, type=selftest_result.SelfTestReport)
    failed = [f"{step.name}: {step.message}" for step in report.steps if not step.ok]
    assert reported.returncode == 0, "\n".join(failed)
    assert [step.name for step in report.steps] == STEPS
    assert report.ok
    assert "wrapped for centre;" in report.steps[3].message
    received_items = msgspec.json.decode(listener.receive("reply").payload, type=ReplyMessage)
    assert received_items.seq is None
    assert selftest_result.state_file(folder).read() == report
    left = {entry.name for entry in folder.iterdir()}
    assert left == {"vigie.toml", "outbox", LOCK_FILE, selftest_result.FILE_NAME}
    outbox = open_outbox(folder / "outbox", box=BOX)
    (message,) = outbox.fetch(10)
    outbox.close()
    event = msgspec.json.decode(message.data, type=Event)
    assert (event.event, event.kind, event.name) == (report.event, "selftest", "passed")
    assert event.steps == report.steps


class Running:
    """A box that runs, with the door of self-tests."""

    def __init__(self, folder: Path, broker: BrokerConfig) -> None:
        self._folder = folder
        self._door: SelfTestService | None = None
        self.box = CommandBox(folder, broker, self._verb(), heads=())
        self.door = self._door = SelfTestService(
            folder,
            self.box.outbox,
            self._event,
            lambda _t_ns: str(uuid.uuid4()),
            CLOCK,
            self.box.faults,
        )

    def _verb(self) -> CommandHandler:
        def send(command: str, on_arrived: Callable[[], None]) -> None:
            assert self._door is not None
            self._door.send(command, on_arrived)

        def tell(steps: tuple[SelfTestStep, ...]) -> str:
            assert self._door is not None
            return self._door.publish_result(steps)

        return SelfTestCommandHandler(send, tell, CLOCK.boottime_ns)

    def _event(self, event: Event) -> None:
        data = outgoing_messages.build_event_data(event, begin=CLOCK.utc(event.begin_ns))
        self.box.outbox.put(outgoing_messages.build_event_message(data))


def test_a_running_agent_stays_connected_sends_the_message_and_reports_the_result(
    mosquitto: Mosquitto, broker: BrokerConfig, listener: BoxListener, tmp_path: Path
) -> None:
    running = Running(tmp_path, broker)
    with running.box as box:
        birth = listener.receive("status")
        config = configuration.load(written(tmp_path, mosquitto.url, NOT_WATCHED))
        report = run_selftest(config, CLOCK, random.Random(1))
        assert [step.name for step in report.steps] == [s for s in STEPS if s != "detect"]
        assert report.ok, report
        assert "acknowledged after" in report.steps[-1].message
        message = msgspec.json.decode(listener.receive("reply").payload, type=ReplyMessage)
        assert message.seq is not None
        event = msgspec.json.decode(
            listener.receive("event/box/selftest").payload, type=EventMessage
        ).data
        assert (event.event, event.name, event.steps) == (report.event, "passed", report.steps)
        assert box.faults.active() == ()
        # Still the first connection: a second one of its name would have ended it.
        assert box.session is not None
        assert box.session.health().connected
        assert box.outbox.next_session_number() == json.loads(birth.payload)["data"]["session"] + 1


@pytest.mark.raises_fault("SVC-02")
def test_a_failed_test_is_a_fault_of_the_running_agent_also_after_its_restart_until_one_passes(
    broker: BrokerConfig, tmp_path: Path
) -> None:
    bad = SelfTestStep(
        name="record", ok=False, duration_ms=1.0, message="the disk returns other bytes"
    )
    good = SelfTestStep(name="record", ok=True, duration_ms=1.0, message="all is there")
    reported = selftest_result.SelfTestReport(
        box=BOX, version="1", started="", took_s=1.0, ok=False, steps=(bad,), delivery=""
    )
    selftest_result.state_file(tmp_path).write(reported)
    running = Running(tmp_path, broker)
    with running.box as box:
        (fault,) = box.faults.active()
        assert (fault.code, fault.detail) == ("SVC-02", "record: the disk returns other bytes")
        running.door.publish_result((good,))
        assert box.faults.active() == ()
        running.door.publish_result((good, bad))
        assert [fault.code for fault in box.faults.active()] == ["SVC-02"]


def way_of(folder: Path, url: str = "mqtt://127.0.0.1:1") -> broker_check.BrokerRoundTrip:
    config = configuration.load(written(folder, url))
    return broker_check.BrokerRoundTrip(config, CLOCK, lambda _t_ns: str(uuid.uuid4()))


def test_an_agent_that_cannot_send_the_message_fails_the_test_without_another_connection(
    mosquitto: Mosquitto, listener: BoxListener, tmp_path: Path
) -> None:
    with CommandBox(tmp_path, None, heads=()) as box:
        with pytest.raises(CheckFailed, match="'selftest': this box has no such command"):
            way_of(tmp_path, mosquitto.url).check()
        delivery, event_id = way_of(tmp_path, mosquitto.url).publish((), an_event())
        assert str(delivery).startswith("not delivered: ")
        assert event_id is None
        assert box.outbox.depth == 0
    # The outbox is in use, and the socket does not answer: an agent that starts or hangs.
    outbox = open_outbox(tmp_path / "outbox", box=BOX)
    with pytest.raises(CheckFailed, match="another agent"):
        way_of(tmp_path, mosquitto.url).check()
    outbox.close()
    assert "accepted the box's credentials" in str(way_of(tmp_path, mosquitto.url).check())
    first = listener.receive("reply")
    assert msgspec.json.decode(first.payload, type=ReplyMessage).data.command == "selftest"


def test_an_absent_broker_is_a_failed_step(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="refused"):
        way_of(tmp_path).check()


class Stopped(Exception):
    """The technician pressed Ctrl-C."""


def test_a_self_test_that_waits_for_its_broker_is_stopped_at_once_and_its_outbox_is_closed(
    tmp_path: Path,
) -> None:
    reached = threading.Event()

    def stop_once_reached() -> None:
        if reached.is_set():
            raise Stopped

    with socket.create_server(("127.0.0.1", 0)) as server:
        connections: list[socket.socket] = []

        def accept() -> None:
            connections.append(server.accept()[0])  # it never answers
            reached.set()

        threading.Thread(target=accept, daemon=True).start()
        config = configuration.load(
            written(tmp_path, f"mqtt://127.0.0.1:{server.getsockname()[1]}", NOT_WATCHED)
        )
        steps: list[str] = []
        with pytest.raises(Stopped):
            run_selftest(
                config,
                CLOCK,
                random.Random(1),
                lambda step, _: steps.append(step.name),
                stop_once_reached,
            )
        assert steps == [name for name in STEPS if name not in ("detect", "broker")]
        for thread in threading.enumerate():
            if thread.name == "round trip":
                thread.join(60)
        open_outbox(tmp_path / "outbox", box=BOX).close()
        assert connections[0].recv(1) != b""
        assert not (tmp_path / selftest_result.FILE_NAME).exists()
        connections[0].close()


def an_event() -> Event:
    now_ns = CLOCK.boottime_ns()
    return Event(
        event=str(uuid.uuid4()),
        rev=1,
        kind="selftest",
        phase="moment",
        camera="box",
        t_ns=now_ns,
        begin_ns=now_ns,
        steps=(),
    )


def test_two_self_tests_never_run_at_once_and_a_failed_start_fails_all_later_steps(
    tmp_path: Path,
) -> None:
    config = configuration.load(written(tmp_path, "mqtt://127.0.0.1:1"))
    seen: list[str] = []

    def try_another(step: SelfTestStep, _message: Text) -> None:
        if step.name == "broker":
            with pytest.raises(UserError, match="another self-test runs"):
                run_selftest(config, CLOCK, random.Random(1))
            seen.append(step.name)

    full = configuration.load(written(tmp_path, "mqtt://127.0.0.1:1", NOT_WATCHED))
    bad_key = msgspec.structs.replace(
        full.record, recipient=({"id": "centre", "public_key": "AAAA"},)
    )
    broken = msgspec.structs.replace(
        full, record=msgspec.convert(msgspec.to_builtins(bad_key), type(full.record))
    )
    report = run_selftest(broken, CLOCK, random.Random(1), try_another)
    assert seen == ["broker"]
    assert not report.ok
    assert report.failed_steps == ("capture", "record", "seal", "export", "outbox", "broker")
    assert "public_key" in report.steps[0].message
    assert {step.message for step in report.steps[1:-1]} == {"not tried: nothing was captured"}
    assert selftest_result.state_file(tmp_path).read() == report


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[PipelineRun, PipelineRunResult]:
    """One complete run; its output is copied by the tests that damage it."""
    folder = tmp_path_factory.mktemp("rehearsal")
    generate_key_pair(folder / "centre.pem")
    config = configuration.load(written(folder, "mqtt://127.0.0.1:1"))
    state = folder / "state"
    state.mkdir()
    rehearsal = PipelineRun(state, config, CLOCK, random.Random(1))
    return rehearsal, rehearsal.run(lambda: None)


@pytest.fixture
def played(
    once: tuple[PipelineRun, PipelineRunResult], tmp_path: Path
) -> Iterator[tuple[PipelineRun, PipelineRunResult, list[Path]]]:
    """The rehearsal, with its footage as it was after the test whatever the test did to it."""
    rehearsal, played = once
    kept = tmp_path / "kept"
    shutil.copytree(rehearsal.footage_folder, kept)
    yield rehearsal, played, [Path(segment.path) for segment in played.segments]
    shutil.rmtree(rehearsal.footage_folder)
    shutil.copytree(kept, rehearsal.footage_folder)
    shutil.rmtree(rehearsal.folder / "export", ignore_errors=True)


Left = tuple[PipelineRun, PipelineRunResult, list[Path]]


def test_the_output_of_a_complete_run_passes_every_check(played: Left) -> None:
    rehearsal, done, _ = played
    checks.check_capture(done)
    checks.check_detection(rehearsal, done)
    checks.check_recording(rehearsal, done)
    checks.check_encryption(rehearsal, done)
    checks.check_export(rehearsal, done)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_a_lost_file_and_a_torn_one_are_found(played: Left) -> None:
    rehearsal, done, segments = played
    flip(segments[2], -2000)
    with pytest.raises(CheckFailed, match="returns other bytes"):
        checks.check_recording(rehearsal, done)
    with pytest.raises(CheckFailed, match="the verifier says"):
        checks.check_export(rehearsal, done)
    flip(segments[2], -2000)
    segments[1].with_name(segments[1].name + ".part").write_bytes(b"")
    with pytest.raises(CheckFailed, match="was never closed"):
        checks.check_recording(rehearsal, done)


def test_footage_with_missing_or_wrong_pictures_is_found(played: Left) -> None:
    rehearsal, done, _ = played
    fewer = msgspec.structs.replace(done, segments=done.segments[:-1])
    with pytest.raises(CheckFailed, match="of 100 pictures can be decoded"):
        checks.check_recording(rehearsal, fewer)
    swapped = msgspec.structs.replace(
        done, segments=(done.segments[1], done.segments[0], *done.segments[2:])
    )
    with pytest.raises(CheckFailed, match="differs from the captured one"):
        checks.check_recording(rehearsal, swapped)


def test_a_plaintext_key_or_one_not_wrapped_for_all_is_found(played: Left) -> None:
    rehearsal, done, segments = played
    sidecar = segments[0].with_name(segments[0].name + KEYS_SUFFIX)
    key = unwrap_segment_key(sidecar, rehearsal.test_key)
    for leak in (key.key, key.key.hex().encode()):
        note = rehearsal.footage_folder / "note"
        note.write_bytes(b"the key is " + leak)
        with pytest.raises(CheckFailed, match="the key of a segment is stored in note"):
            checks.check_encryption(rehearsal, done)
        note.unlink()
    fields = json.loads(sidecar.read_bytes())
    fields["recipients"][0]["id"] = "somebody"
    sidecar.write_text(json.dumps(fields))
    with pytest.raises(CheckFailed, match="the key is not wrapped for selftest-guest"):
        checks.check_encryption(rehearsal, done)


@pytest.mark.parametrize(
    ("change", "expected_message"),
    [
        (
            {"is_complete": False, "packets": 40},
            "delivered 40 of 100 pictures, and none for 60 s$",
        ),
        (
            {"is_complete": False, "packets": 0, "last_error": "no encoder"},
            "delivered 0 of 100 pictures, and none for 60 s: no encoder",
        ),
        (
            {"is_complete": False, "packets": 101, "last_error": "no memory"},
            "101 of 100 pictures captured: no memory",
        ),
        ({"packets": 99, "last_error": "no device"}, "99 of 100 pictures captured: no device"),
    ],
)
def test_a_camera_with_too_few_frames_is_found(
    played: Left, change: dict[str, object], expected_message: str
) -> None:
    _, done, _ = played
    with pytest.raises(CheckFailed, match=expected_message):
        checks.check_capture(msgspec.structs.replace(done, **change))


def test_a_busy_box_passes_and_is_named(played: Left) -> None:
    _, done, _ = played
    in_time = checks.check_capture(msgspec.structs.replace(done, played_s=10.1))
    late = checks.check_capture(msgspec.structs.replace(done, played_s=51.2))
    assert str(late) == f"{in_time}; the box is busy: 10 s of the street took 51 s"


def test_a_run_lasts_as_long_as_pictures_come_and_ends_a_minute_after_the_last_one() -> None:
    progress = PlayProgress(0)
    last_ns = 0
    for count in range(street_pattern.FRAME_COUNT):
        last_ns = count * 50 * NS_PER_S
        assert progress.can_end(count, last_ns)
    count = street_pattern.FRAME_COUNT - 1
    assert progress.can_end(count, last_ns + 60 * NS_PER_S)
    assert not progress.can_end(count, last_ns + 61 * NS_PER_S)


def test_a_camera_that_begins_with_the_pattern_again_ends_the_run() -> None:
    progress = PlayProgress(0)
    assert progress.can_end(street_pattern.FRAME_COUNT, NS_PER_S)
    assert not progress.can_end(street_pattern.FRAME_COUNT + 1, NS_PER_S)


def test_a_model_without_detections_or_a_silent_rule_is_found(played: Left) -> None:
    rehearsal, done, _ = played
    blind = tuple(street_pattern.FrameTracks(t_s=look.t_s, tracks=()) for look in done.frame_tracks)
    with pytest.raises(CheckFailed, match="0 of 3 cars, 0 of 3 people"):
        checks.check_detection(rehearsal, msgspec.structs.replace(done, frame_tracks=blind))
    with pytest.raises(CheckFailed, match="no event of the line"):
        checks.check_detection(rehearsal, msgspec.structs.replace(done, events=()))
    refused = msgspec.structs.replace(
        done, frame_tracks=(), faults=("DET-01 model refused: its hash",)
    )
    with pytest.raises(CheckFailed, match="DET-01 model refused: its hash"):
        checks.check_detection(rehearsal, refused)
    in_its_place = msgspec.structs.replace(refused, frame_tracks=done.frame_tracks)
    with pytest.raises(CheckFailed, match="DET-01 model refused: its hash"):
        checks.check_detection(rehearsal, in_its_place)


def test_an_unwritable_folder_fails_the_outbox(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("in the way")
    with pytest.raises(CheckFailed, match="outbox"):
        broker_check.check_outbox(tmp_path / "outbox", (an_event(),), CLOCK, lambda _t_ns: "id")

"""agent.health.flight_recorder: its content after a power cut, its writes, and its report."""

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.health_model import FlightSample
from agent.health import flight_page, restart_report
from agent.health.flight_page import PAGE_BYTES, FlightPage, PageKind
from agent.health.flight_recorder import (
    FILE_NAME,
    FLUSH_INTERVAL_NS,
    PAGE_COUNT,
    Flight,
    FlightRecorder,
    read_pages,
)
from agent.health.restart_report import RestartEvidence, classify
from agent.health.vitals.procfs import ProcFs
from tests.conftest import ManualClock

S = 1_000_000_000
BOOT, NEXT_BOOT = "boot-1", "boot-2"


def sample(second: int, **more: object) -> FlightSample:
    return msgspec.convert(
        {
            "t_ns": second * S,
            "soc_celsius": 60.0 + second % 7,
            "memory_available_bytes": second * 1_000_000,
            "stream_fps": {"north": 9.5, "south": 10.0},
            "detect_fps": {"north": 9.5, "south": 9.8},
            **more,
        },
        FlightSample,
    )


def page(kind: PageKind = "flight", boot: str = BOOT, **more: object) -> FlightPage:
    fields = {"number": 7, "boot": boot, "run": "run-1", "kind": kind, "time": TIME, **more}
    return msgspec.convert(fields, FlightPage)


TIME = "2026-11-03T07:41:05.250Z"


class Flown:
    """A recorder that seconds are put into."""

    def __init__(
        self, state: Path, clock: ManualClock, boot: str = BOOT, run: str = "run-1"
    ) -> None:
        self.clock = clock
        self.recorder = FlightRecorder(state, clock, boot, run)
        self.recorder.write_begin()

    def fly(self, seconds: int, **more: object) -> None:
        for _ in range(seconds):
            self.clock.advance_s(1)
            self.recorder.add_sample(sample(self.clock.now_ns // S, **more))
            self.recorder.flush_if_due()


def test_the_last_half_hour_survives_a_power_cut(tmp_path: Path, clock: ManualClock) -> None:
    Flown(tmp_path, clock).fly(3 * 3600)
    cut_s = clock.now_ns // S
    before = FlightRecorder(tmp_path, clock, NEXT_BOOT, "run-2").previous_flight
    assert before is not None
    seconds = [one.t_ns // S for one in before.samples]
    assert seconds == list(range(seconds[0], seconds[-1] + 1))
    assert cut_s - seconds[-1] < FLUSH_INTERVAL_NS // S
    assert seconds[-1] - seconds[0] == 1800
    assert before.samples[-1] == sample(seconds[-1])
    assert (before.last_page.kind, before.last_page.boot) == ("flight", BOOT)


def test_the_flight_contains_the_last_run_only(tmp_path: Path, clock: ManualClock) -> None:
    Flown(tmp_path, clock).fly(60)
    Flown(tmp_path, clock, run="run-2").fly(45)
    Flown(tmp_path, clock, run="run-3")
    before = FlightRecorder(tmp_path, clock, BOOT, "run-4").previous_flight
    assert before is not None
    assert (before.last_page.run, before.last_page.kind, before.samples) == ("run-3", "began", ())


def test_a_change_is_written_at_once_and_not_too_often(tmp_path: Path, clock: ManualClock) -> None:
    flown = Flown(tmp_path, clock)
    flown.recorder.flush_soon()
    flown.fly(1)
    assert read_pages(tmp_path / FILE_NAME)[-1].samples == (sample(clock.now_ns // S),)
    for _ in range(59):
        flown.recorder.flush_soon()
        flown.fly(1)
    # The first page of a run, one in a hurry, and three in their time.
    assert flown.recorder.pages_written == 1 + 1 + 3


def test_the_file_never_grows_and_is_written_in_place(tmp_path: Path, clock: ManualClock) -> None:
    flown = Flown(tmp_path, clock)
    file = tmp_path / FILE_NAME
    flown.fly(1)
    begun = file.stat()
    flown.fly(2 * 3600)
    ended = file.stat()
    assert (ended.st_size, ended.st_blocks, ended.st_ino) == (
        begun.st_size,
        begun.st_blocks,
        begun.st_ino,
    )
    assert ended.st_size == PAGE_COUNT * PAGE_BYTES


def test_a_clean_stop_is_marked(tmp_path: Path, clock: ManualClock) -> None:
    flown = Flown(tmp_path, clock)
    flown.fly(5)
    flown.recorder.close()
    before = FlightRecorder(tmp_path, clock, BOOT, "run-2").previous_flight
    assert before is not None
    assert (before.last_page.kind, len(before.samples)) == ("stopped", 5)


def test_a_failing_disk_loses_only_the_oldest_samples(tmp_path: Path, clock: ManualClock) -> None:
    flown = Flown(tmp_path, clock)
    flown.recorder.close()
    (tmp_path / FILE_NAME).rename(tmp_path / "kept")
    (tmp_path / FILE_NAME).mkdir()
    flown.fly(300)
    (tmp_path / FILE_NAME).rmdir()
    flown.fly(15)
    seconds = [one.t_ns // S for one in read_pages(tmp_path / FILE_NAME)[-1].samples]
    assert seconds[-1] == clock.now_ns // S
    assert seconds[-1] - seconds[0] >= 115


@given(data=st.data())
def test_a_torn_page_is_distinguished_from_a_whole_one(data: st.DataObject) -> None:
    whole = flight_page.encode(page(samples=tuple(sample(second) for second in range(15))))
    assert len(whole) == PAGE_BYTES
    used = len(whole.rstrip(b"\0"))
    torn = bytearray(whole)
    begin = data.draw(st.integers(0, used - 1))
    length = data.draw(st.integers(1, 600))
    rubbish = data.draw(st.binary(min_size=length, max_size=length))
    torn[begin : begin + length] = rubbish[: PAGE_BYTES - begin]
    found = flight_page.decode(bytes(torn))
    assert found is None or bytes(torn[:used]) == whole[:used]


@given(data=st.binary(max_size=5000))
def test_garbage_is_not_a_page(data: bytes) -> None:
    assert flight_page.decode(data) is None


def test_a_page_keeps_the_samples_that_fit_and_always_the_newest(clock: ManualClock) -> None:
    noisy = tuple(
        sample(second, faults=[f"CAM-02 {clock.now_ns * second * 7919 % 10**9}" for _ in range(40)])
        for second in range(120)
    )
    found = flight_page.decode(flight_page.encode(page(samples=noisy)))
    assert found is not None
    assert found.samples[-1] == noisy[-1]
    huge = (sample(1, faults=[os.urandom(40).hex() for _ in range(400)]),)
    found = flight_page.decode(flight_page.encode(page(samples=huge, reason="y" * 9000)))
    assert found is not None
    assert found.samples[0].soc_celsius == 61.0
    assert found.samples[0].faults == ()


@pytest.mark.parametrize(
    ("last", "evidence", "cause", "new_boot"),
    [
        (page("stopped"), RestartEvidence(boot=BOOT), "requested", False),
        (page("stopped"), RestartEvidence(boot=NEXT_BOOT, reset_cause="power"), "requested", True),
        (page(), RestartEvidence(boot=BOOT), "crash", False),
        (page("began"), RestartEvidence(boot=BOOT, service_result="exit-code"), "crash", False),
        (page(), RestartEvidence(boot=BOOT, service_result="watchdog"), "watchdog", False),
        (page(), RestartEvidence(boot=BOOT, service_result="oom-kill"), "memory", False),
        (page(), RestartEvidence(boot=BOOT, service_result="signal"), "crash", False),
        (page(), RestartEvidence(boot=BOOT, reboot_reason="for a camera"), "crash", False),
        (
            page(),
            RestartEvidence(boot=NEXT_BOOT, reboot_reason="for a camera"),
            "camera_stuck",
            True,
        ),
        (page(), RestartEvidence(boot=NEXT_BOOT), "power_cut", True),
        (page(), RestartEvidence(boot=NEXT_BOOT, reset_cause="power"), "power_cut", True),
        (page(), RestartEvidence(boot=NEXT_BOOT, reset_cause="watchdog"), "board_watchdog", True),
        (
            page(),
            RestartEvidence(
                boot=NEXT_BOOT, reset_cause="power", crash_records=("dmesg-ramoops-0",)
            ),
            "kernel_crash",
            True,
        ),
    ],
)
def test_the_cause_of_a_restart_comes_from_the_last_run_and_the_board(
    last: FlightPage, evidence: RestartEvidence, cause: str, new_boot: bool
) -> None:
    ended = classify(last, evidence)
    assert (ended.cause, ended.new_boot) == (cause, new_boot)
    assert ended.detail


def test_after_an_unrequested_end_the_report_has_the_whole_half_hour(
    tmp_path: Path, clock: ManualClock
) -> None:
    Flown(tmp_path, clock).fly(2000)
    before = FlightRecorder(tmp_path, clock, NEXT_BOOT, "run-2").previous_flight
    assert before is not None
    reported = restart_report.build_restart_receipt(before, RestartEvidence(boot=NEXT_BOOT))
    assert (reported.cause, reported.new_boot, reported.boot_before) == ("power_cut", True, BOOT)
    assert reported.flight is not None
    assert restart_report.unpack_flight(reported.flight) == before.samples
    assert reported.last_sample == before.samples[-1]
    assert len(reported.flight) < 64_000


def test_a_flight_that_is_too_noisy_keeps_its_last_minute_whole() -> None:
    noisy = [
        sample(second, faults=[os.urandom(60).hex() for _ in range(3)]) for second in range(1800)
    ]
    flight = Flight(last_page=page(), samples=tuple(noisy))
    packed = restart_report.build_restart_receipt(flight, RestartEvidence(boot=NEXT_BOOT)).flight
    assert packed is not None
    assert len(packed) <= 64_000
    found = restart_report.unpack_flight(packed)
    assert list(found[-60:]) == noisy[-60:]
    assert found[0].t_ns < 120 * S


def test_a_requested_stop_is_reported_without_flight_samples(
    tmp_path: Path, clock: ManualClock
) -> None:
    flown = Flown(tmp_path, clock)
    flown.fly(30)
    flown.recorder.close()
    before = FlightRecorder(tmp_path, clock, BOOT, "run-2").previous_flight
    assert before is not None
    reported = restart_report.build_restart_receipt(before, RestartEvidence(boot=BOOT))
    assert (reported.cause, reported.detail, reported.flight) == (
        "requested",
        "asked to stop",
        None,
    )


@pytest.mark.parametrize(
    ("written", "cause", "detail"),
    [
        ("watchdog\n", "watchdog", "a vital loop did not turn"),
        ("watchdog\noom_kill 0\n", "watchdog", "a vital loop did not turn"),
        ("oom-kill\n", "memory", "for lack of memory"),
        ("signal\noom_kill 1\n", "memory", "for lack of memory"),
        ("signal\noom_kill 0\n", "crash", "systemd reports 'signal'"),
        ("signal\n", "crash", "systemd reports 'signal'"),
        ("core-dump\n", "crash", "systemd reports 'core-dump'"),
        ("exit-code\noom_kill 1\n", "crash", "systemd reports 'exit-code'"),
        ("success\n", "crash", "without stopping in order"),
        ("", "crash", "without stopping in order"),
        ("\xff\xfe", "crash", "without stopping in order"),
    ],
)
def test_the_restart_report_contains_the_units_exit_record(
    written: str, cause: str, detail: str, tmp_path: Path, clock: ManualClock
) -> None:
    Flown(tmp_path, clock).fly(20)
    before = FlightRecorder(tmp_path, clock, BOOT, "run-2").previous_flight
    assert before is not None
    (tmp_path / restart_report.SERVICE_RESULT_FILE).write_bytes(written.encode("latin-1"))
    evidence = restart_report.collect_evidence(before, BOOT, tmp_path, ProcFs(tmp_path / "none"))
    reported = restart_report.build_restart_receipt(before, evidence)
    assert (reported.cause, reported.new_boot) == (cause, False)
    assert detail in reported.detail


def test_an_out_of_memory_kill_is_reported_only_for_the_run_that_it_ended(
    tmp_path: Path, clock: ManualClock
) -> None:
    """The control group's count continues over runs, and begins again with a new group."""
    Flown(tmp_path, clock).fly(20)
    before = FlightRecorder(tmp_path, clock, BOOT, "run-2").previous_flight
    assert before is not None
    reported = []
    for kills in (1, 1, 2, 2, 1, 1, 0):
        (tmp_path / restart_report.SERVICE_RESULT_FILE).write_text(f"signal\noom_kill {kills}\n")
        evidence = restart_report.collect_evidence(
            before, BOOT, tmp_path, ProcFs(tmp_path / "none")
        )
        reported.append(evidence.service_result)
    killed, signalled = "oom-kill", "signal"
    assert reported == [killed, signalled, killed, signalled, killed, signalled, signalled]


def test_evidence_of_systemd_and_the_kernel_is_collected_once(
    tmp_path: Path, clock: ManualClock
) -> None:
    Flown(tmp_path, clock).fly(20)
    before = FlightRecorder(tmp_path, clock, NEXT_BOOT, "run-2").previous_flight
    assert before is not None
    runtime, root = tmp_path / "run", tmp_path / "root"
    for folder in (
        runtime,
        root / restart_report.PSTORE,
        root / restart_report.PSTORE_ARCHIVE / "7",
    ):
        folder.mkdir(parents=True)
    nothing = restart_report.collect_evidence(before, BOOT, runtime, ProcFs(root / "none"))
    assert nothing == RestartEvidence(boot=BOOT)
    (runtime / restart_report.SERVICE_RESULT_FILE).write_text("watchdog\n")
    (root / restart_report.PSTORE / "dmesg-ramoops-0").touch()
    (root / restart_report.RESET_REGISTER).parent.mkdir(parents=True)
    (root / restart_report.RESET_REGISTER).write_bytes(b"\0\0\x10\0")
    os.utime(root / restart_report.PSTORE_ARCHIVE / "7", (0, 0))
    found = restart_report.collect_evidence(before, NEXT_BOOT, runtime, ProcFs(root))
    assert found == RestartEvidence(
        boot=NEXT_BOOT,
        service_result="watchdog",
        reset_cause="power",
        crash_records=("dmesg-ramoops-0",),
    )
    assert (
        restart_report.collect_evidence(before, NEXT_BOOT, runtime, ProcFs(root)).service_result
        is None
    )

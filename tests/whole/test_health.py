"""The whole agent on a machine of files that overheats, is overloaded or loses its power."""

import signal
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from agent.base.clock import ClockTrust, SystemClock
from agent.base.health_model import HealthReport
from agent.health import flight_page, health_file, restart_report
from agent.health.flight_page import PAGE_BYTES
from agent.health.flight_recorder import FILE_NAME, PAGE_COUNT, read_pages
from agent.pipeline.camera_pipeline import SUSPENDED_REASON
from agent.recording.custody.receipts import ClockStepped, parse_line
from agent.reporting.payloads import (
    EventMessage,
    HealthMessage,
    ReceiptMessage,
    RecordingGap,
    Restarted,
)
from centre.client import ReceivedMessage
from tests.machine_tree import FakeProcFs
from tests.whole.report.broker import Mosquitto
from tests.whole.rig import (
    CONFIG,
    SCENE,
    AgentBox,
    RunningCentre,
    fake_camera_toml,
    footage_bytes,
    make_agent,
)


class LeapingClock:
    """The machine's clock, which a test may move on."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._leapt_ns = 0
        self._utc_offset = timedelta()
        self.is_synced = False

    def boottime_ns(self) -> int:
        return self._clock.boottime_ns() + self._leapt_ns

    def unsteered_ns(self) -> int:
        return self._clock.unsteered_ns()

    def utc(self, t_ns: int) -> datetime:
        return self._clock.utc(t_ns - self._leapt_ns) + self._utc_offset

    def trust(self) -> ClockTrust:
        return ClockTrust(
            synced=self.is_synced,
            source="ntp" if self.is_synced else "none",
            error_s=0.02 if self.is_synced else None,
        )

    def step_utc_s(self, seconds: float) -> None:
        self._utc_offset += timedelta(seconds=seconds)

    def leap_s(self, seconds: float) -> None:
        self._leapt_ns += int(seconds * 1e9)


class Pole:
    """An agent in this process, on a machine of files."""

    def __init__(self, folder: Path, url: str) -> None:
        folder.mkdir()
        self.state = folder / "state"
        self.state.mkdir()
        text = CONFIG.format(url=url, camera=fake_camera_toml()).replace(
            "interval_s = 5", "interval_s = 1"
        )
        (folder / "vigie.toml").write_text(text)
        (folder / "scene.toml").write_text(SCENE)
        self.machine = FakeProcFs(folder / "machine", self.state)
        self.clock = LeapingClock()
        self.agent = make_agent(folder / "vigie.toml", self.machine.root, clock=self.clock)
        self.agent.start()

    def parts(self) -> list[Path]:
        return list((self.state / "footage").rglob("*.part"))

    def footage_bytes(self) -> int:
        return footage_bytes(self.state / "footage")


@pytest.fixture
def pole(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Pole]:
    pole = Pole(tmp_path / "pole", mosquitto.url)
    yield pole
    assert pole.agent.stop()


def healths(received: list[ReceivedMessage]) -> list[HealthReport]:
    return [h.message.data for h in received if isinstance(h.message, HealthMessage)]


def newest(
    centre: RunningCentre, is_so: Callable[[HealthReport], bool], what: str, after: int = 0
) -> HealthReport:
    """The first report after so many that is as wanted."""
    received = centre.wait_for(
        lambda all_: any(is_so(report) for report in healths(all_)[after:]), what
    )
    return next(report for report in healths(received)[after:] if is_so(report))


def level(report: HealthReport) -> str:
    assert report.degradation is not None
    return report.degradation.level


def codes(report: HealthReport) -> set[str]:
    return {fault.code for fault in report.faults}


def test_the_health_report_and_the_health_file_contain_the_machines_vitals(
    pole: Pole, centre: RunningCentre
) -> None:
    pole.machine.write_file("sys/devices/platform/soc/soc:firmware/get_throttled", "50000")
    report = newest(
        centre,
        lambda all_: (
            all_.vitals.under_voltage_since_boot is True
            and all_.link is not None
            and all_.link.round_trip_ms is not None
            and all_.cameras[0].stream_fps > 0
        ),
        "a whole report",
    )
    assert report.vitals.soc_celsius == 48.3
    assert report.vitals.cores == 4
    assert report.disk is not None
    assert (report.disk.device, report.disk.life_used) == ("mmcblk0", 0.1)
    assert report.disk.write_ms is not None
    assert report.link is not None
    assert (report.link.adapter, report.link.kind, report.link.up) == ("wwan0", "modem", True)
    assert report.clock is not None
    assert report.cameras[0].target_detect_fps == 10.0
    assert level(report) == "full"
    live = health_file.read(pole.state / "run")
    assert live is not None
    assert not live.is_stale(pole.clock.boottime_ns())
    assert live.report.vitals.soc_celsius == 48.3


def clock_steps(pole: Pole) -> list[ClockStepped]:
    lines = b"".join(
        path.read_bytes() for path in sorted((pole.state / "custody").glob("*.chain"))
    ).splitlines()
    bodies = [parse_line(line).receipt.body for line in lines]
    return [body for body in bodies if isinstance(body, ClockStepped)]


@pytest.mark.raises_fault("SYS-09")
def test_a_step_of_the_clock_is_a_fault_an_event_and_a_receipt_with_both_times(
    pole: Pole, centre: RunningCentre
) -> None:
    newest(centre, lambda report: report.uptime_s > 1, "a box that runs")
    assert "SYS-09" not in {fault.code for fault in pole.agent.faults.active()}
    pole.clock.is_synced = True
    newest(
        centre,
        lambda report: report.clock is not None and report.clock.synced,
        "a synchronised clock",
    )
    pole.clock.step_utc_s(86_400)
    newest(centre, lambda report: "SYS-09" in codes(report), "SYS-09")
    received = centre.wait_for(
        lambda all_: any(h.topic.endswith("/up/event/box/clock_step") for h in all_), "the event"
    )
    (event,) = [
        h.message.data
        for h in received
        if isinstance(h.message, EventMessage) and h.message.data.kind == "clock_step"
    ]
    assert not isinstance(event.clock_step, msgspec.UnsetType)
    expected, found = (
        datetime.fromisoformat(text)
        for text in (event.clock_step.expected_time, event.clock_step.found_time)
    )
    assert abs((found - expected) - timedelta(days=1)) < timedelta(seconds=0.1)
    centre.wait_for(lambda _all: clock_steps(pole) != [], "the receipt")
    (receipt,) = clock_steps(pole)
    assert (receipt.expected_time, receipt.found_time) == (
        event.clock_step.expected_time,
        event.clock_step.found_time,
    )
    assert receipt.bound_ms == round(event.clock_step.bound_s * 1000)


@pytest.mark.raises_fault("SYS-02", "SYS-07")
def test_a_hot_box_stops_detection_and_keeps_recording(pole: Pole, centre: RunningCentre) -> None:
    newest(centre, lambda report: report.detectors[0].inferences_per_s > 0, "a box that detects")
    pole.machine.set_celsius(81.5)
    report = newest(
        centre,
        lambda report: level(report) == "reduced_detection",
        "a box that detects with fewer passes",
    )
    assert report.detectors[0].inferences_limit_per_s == 8.0
    assert report.cameras[0].target_detect_fps == 10.0
    pole.machine.set_celsius(84.5)
    report = newest(
        centre,
        lambda report: (
            level(report) == "no_detection" and report.detectors[0].inferences_per_s == 0
        ),
        "a box that detects no more",
    )
    assert codes(report) >= {"SYS-02", "SYS-07"}
    assert report.degradation is not None
    assert report.degradation.reason.startswith("heat: 84 °C")
    assert report.cameras[0].target_detect_fps is None
    before = pole.footage_bytes()
    report = newest(
        centre,
        lambda report: level(report) == "no_detection" and pole.footage_bytes() > before + 50_000,
        "footage that grows",
        after=1,
    )
    assert not codes(report) & {"CAM-01", "CAM-02", "CAM-04", "STO-02"}


@pytest.mark.raises_fault("SYS-02", "SYS-07")
def test_an_overheated_box_sends_heartbeats_only_until_it_has_cooled(
    pole: Pole, centre: RunningCentre
) -> None:
    newest(centre, lambda report: report.detectors[0].inferences_per_s > 0, "a box that detects")
    pole.machine.set_celsius(97.0)
    report = newest(
        centre,
        lambda report: (
            level(report) == "heartbeat" and not report.cameras[0].open and not pole.parts()
        ),
        "a box at rest, no file open",
    )
    assert not codes(report) & {"CAM-01", "CAM-02", "CAM-04", "STO-02"}
    footage = pole.footage_bytes()
    pole.machine.set_celsius(55.0)
    newest(centre, lambda report: report.vitals.soc_celsius == 55.0, "a box that has cooled")
    assert pole.footage_bytes() == footage
    pole.clock.leap_s(130)
    report = newest(
        centre,
        lambda report: (
            level(report) == "full"
            and report.cameras[0].open
            and report.detectors[0].inferences_per_s > 0
            and report.vitals.soc_celsius == 55.0
        ),
        "a box that does all again",
    )
    assert "SYS-07" not in codes(report)
    received = centre.wait_for(
        lambda all_: any(isinstance(data, RecordingGap) for data in receipts(all_)),
        "the gap's receipt",
    )
    (gap,) = [data for data in receipts(received) if isinstance(data, RecordingGap)]
    assert (gap.camera, gap.reason) == ("north", SUSPENDED_REASON)
    assert not [h for h in received if "camera_lost" in h.topic]
    assert pole.footage_bytes() > footage


def receipts(received: list[ReceivedMessage]) -> list[object]:
    return [h.message.data for h in received if isinstance(h.message, ReceiptMessage)]


def restarts(received: list[ReceivedMessage]) -> list[Restarted]:
    return [data for data in receipts(received) if isinstance(data, Restarted)]


def has_flown(box: AgentBox, centre: RunningCentre) -> None:
    """Wait until seconds of the running agent are on the disk, in which its camera gave frames."""
    file = box.folder / "state" / FILE_NAME

    def has_frames(_received: list[ReceivedMessage]) -> bool:
        pages = read_pages(file)
        return any(
            sample.stream_fps.get("north", 0) > 0
            for page in pages
            if page.run == pages[-1].run
            for sample in page.samples
        )

    centre.wait_for(has_frames, "seconds on the disk")


def test_a_killed_agent_is_reported_as_a_crash_with_its_last_seconds(
    box: AgentBox, centre: RunningCentre
) -> None:
    box.start()
    has_flown(box, centre)
    box.stop(signal.SIGKILL)
    box.start()
    (reported,) = restarts(centre.wait_for(lambda all_: restarts(all_) != [], "what had happened"))
    assert (reported.cause, reported.new_boot) == ("crash", False)
    assert reported.flight is not None
    flown = restart_report.unpack_flight(reported.flight)
    assert flown[-1] == reported.last_sample
    assert any(sample.stream_fps.get("north", 0) > 0 for sample in flown)
    newest(centre, lambda report: "SYS-06" in codes(report), "SYS-06")
    assert box.stop(signal.SIGTERM) == 0


def test_a_power_loss_is_distinguished_from_a_requested_stop(
    box: AgentBox, centre: RunningCentre
) -> None:
    box.start()
    has_flown(box, centre)
    assert box.stop(signal.SIGTERM) == 0
    box.start()
    (reported,) = restarts(centre.wait_for(lambda all_: restarts(all_) != [], "the stop"))
    assert (reported.cause, reported.detail, reported.flight) == (
        "requested",
        "asked to stop",
        None,
    )
    has_flown(box, centre)
    box.stop(signal.SIGKILL)
    of_another_boot(box.folder / "state" / FILE_NAME)
    box.start()
    reported = restarts(centre.wait_for(lambda all_: len(restarts(all_)) == 2, "the cut"))[-1]
    assert (reported.cause, reported.new_boot, reported.boot_before) == (
        "power_cut",
        True,
        "another",
    )
    assert reported.flight is not None
    report = newest(centre, lambda report: "SYS-06" in codes(report), "SYS-06")
    assert "power_cut" in next(f.detail for f in report.faults if f.code == "SYS-06")
    assert box.stop(signal.SIGTERM) == 0


def of_another_boot(file: Path) -> None:
    """Rewrite the pages as if they were of another boot."""
    data = bytearray(PAGE_COUNT * PAGE_BYTES)
    for page in read_pages(file):
        begin = page.number % PAGE_COUNT * PAGE_BYTES
        other = msgspec.structs.replace(page, boot="another")
        data[begin : begin + PAGE_BYTES] = flight_page.encode(other)
    file.write_bytes(data)

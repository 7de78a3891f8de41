"""agent.health.camera_watchdog: a silent camera is a fault and an event, and health is sent in time."""

import pytest

from agent.base.clock import BENCH_SOURCE, ClockTrust
from agent.base.view_condition import ViewCondition, ViewLimit, ViewState
from agent.capture.capture_stage import CaptureCounts
from agent.faults.registry import FaultRegistry
from agent.health.camera_condition import LOST_AFTER_S, CameraMonitor
from agent.health.camera_watchdog import CLOCK_SYNC_TIMEOUT_S, CameraWatchdog, WatchedCamera
from tests.conftest import ManualClock


class Camera:
    """A camera's counts, which a test changes, and the faults that were reported."""

    def __init__(self) -> None:
        self.open = True
        self.stuck = False
        self.last_ns: int | None = None
        self.frames = 0
        self.mask_error: str | None = None
        self.shed = False
        self.target_detect_fps: float | None = None
        self.reported: list[tuple[int, int | None]] = []
        self.view: ViewCondition | None = None

    def counts(self) -> CaptureCounts:
        return CaptureCounts(
            is_open=self.open,
            could_open=self.open,
            packets=0,
            frames=self.frames,
            reconnects=0,
            last_media_ns=self.last_ns,
            last_error=None if self.open else "refused",
            is_stuck=self.stuck,
        )

    def watched(self, clock: ManualClock) -> WatchedCamera:
        return WatchedCamera(
            name="north",
            monitor=CameraMonitor(clock.now_ns),
            counts=self.counts,
            on_check=lambda t_ns, last_ns: self.reported.append((t_ns, last_ns)),
            is_shed=lambda: self.shed,
            mask_error=lambda: self.mask_error,
            target_detect_fps=lambda: self.target_detect_fps,
            view=lambda: self.view,
        )


@pytest.mark.raises_fault("CAM-01", "CAM-02")
def test_a_lost_camera_has_one_fault_that_follows_its_cause_until_it_delivers(
    clock: ManualClock,
) -> None:
    camera, faults = Camera(), FaultRegistry(clock.boottime_ns)
    rounds = CameraWatchdog([camera.watched(clock)], faults, clock)
    camera.last_ns = clock.now_ns
    rounds.check()
    clock.advance_s(LOST_AFTER_S - 0.1)
    rounds.check()
    assert faults.active() == ()
    clock.advance_s(0.1)
    rounds.check()
    assert [fault.code for fault in faults.active()] == ["CAM-02"]
    camera.open = False
    rounds.check()
    (fault,) = faults.active()
    assert (fault.code, fault.detail) == ("CAM-02", "refused")
    clock.advance_s(LOST_AFTER_S)
    rounds.check()
    assert [(fault.code, fault.detail) for fault in faults.active()] == [("CAM-01", "refused")]
    camera.open, camera.last_ns = True, clock.now_ns
    rounds.check()
    assert faults.active() == ()
    assert camera.reported[-1] == (clock.now_ns, clock.now_ns)


@pytest.mark.raises_fault("CAM-01")
def test_a_camera_that_never_opened_is_distinguished(clock: ManualClock) -> None:
    camera, faults = Camera(), FaultRegistry(clock.boottime_ns)
    camera.open = False
    rounds = CameraWatchdog([camera.watched(clock)], faults, clock)
    clock.advance_s(LOST_AFTER_S)
    rounds.check()
    assert [(fault.code, fault.detail) for fault in faults.active()] == [("CAM-01", "refused")]


@pytest.mark.raises_fault("CAM-03")
def test_a_stuck_camera_is_a_fault_of_its_own_at_once(clock: ManualClock) -> None:
    camera, faults = Camera(), FaultRegistry(clock.boottime_ns)
    camera.open, camera.stuck, camera.last_ns = False, True, clock.now_ns
    rounds = CameraWatchdog([camera.watched(clock)], faults, clock)
    rounds.check()
    assert [(fault.code, fault.detail) for fault in faults.active()] == [("CAM-03", "refused")]


@pytest.mark.raises_fault("CAM-01")
def test_a_camera_whose_masks_fail_is_not_blamed_for_its_silence(clock: ManualClock) -> None:
    camera, faults = Camera(), FaultRegistry(clock.boottime_ns)
    camera.open, camera.mask_error = False, "scene.toml: no such file"
    rounds = CameraWatchdog([camera.watched(clock)], faults, clock)
    clock.advance_s(10 * LOST_AFTER_S)
    rounds.check()
    assert faults.active() == ()
    camera.mask_error = None
    clock.advance_s(LOST_AFTER_S)
    rounds.check()
    assert [fault.code for fault in faults.active()] == ["CAM-01"]


def test_a_camera_that_was_shed_is_not_lost_for_that_time(clock: ManualClock) -> None:
    camera, faults = Camera(), FaultRegistry(clock.boottime_ns)
    rounds = CameraWatchdog([camera.watched(clock)], faults, clock)
    camera.last_ns = clock.now_ns
    rounds.check()
    camera.open, camera.shed = False, True
    rounds.check()
    assert len(camera.reported) == 1
    clock.advance_s(10 * LOST_AFTER_S)
    camera.shed = False
    rounds.check()
    assert faults.active() == ()
    assert camera.reported[-1] == (clock.now_ns, clock.now_ns)


def pass_s(camera: Camera, clock: ManualClock, rounds: CameraWatchdog, fps: int, s: int) -> None:
    for _ in range(s):
        clock.advance_s(1)
        camera.frames += fps
        camera.last_ns = clock.now_ns if fps else camera.last_ns
        rounds.check()


@pytest.mark.raises_fault("CAM-04")
def test_a_camera_at_half_its_target_rate_is_a_fault_after_a_minute(clock: ManualClock) -> None:
    camera, faults = Camera(), FaultRegistry(clock.boottime_ns)
    camera.target_detect_fps = 10.0
    rounds = CameraWatchdog([camera.watched(clock)], faults, clock)
    pass_s(camera, clock, rounds, 4, 60)
    assert faults.active() == ()
    pass_s(camera, clock, rounds, 4, 3)
    (fault,) = faults.active()
    assert (fault.code, fault.detail) == ("CAM-04", "4.0 of 10.0 frames/s for detection")
    pass_s(camera, clock, rounds, 6, 300)
    assert [fault.code for fault in faults.active()] == ["CAM-04"]
    pass_s(camera, clock, rounds, 9, 40)
    assert faults.active() == ()


@pytest.mark.raises_fault("CAM-02")
def test_a_silent_camera_and_one_without_a_target_rate_are_not_slow(clock: ManualClock) -> None:
    camera, faults = Camera(), FaultRegistry(clock.boottime_ns)
    rounds = CameraWatchdog([camera.watched(clock)], faults, clock)
    pass_s(camera, clock, rounds, 4, 300)
    assert faults.active() == ()
    camera.target_detect_fps = 10.0
    pass_s(camera, clock, rounds, 0, 300)
    assert [fault.code for fault in faults.active()] == ["CAM-02"]


class BenchClock(ManualClock):
    """A clock that is trusted without being synchronised."""

    def trust(self) -> ClockTrust:
        return ClockTrust(synced=True, source=BENCH_SOURCE, error_s=None)


@pytest.mark.raises_fault("SYS-01")
def test_the_clock_of_a_bench_is_a_fault_at_once_and_for_good() -> None:
    clock = BenchClock()
    faults = FaultRegistry(clock.boottime_ns)
    rounds = CameraWatchdog([], faults, clock)
    for _ in range(2):
        rounds.check()
        (fault,) = faults.active()
        assert "--bench-clock" in fault.detail
        clock.advance_s(3600)


@pytest.mark.raises_fault("SYS-01")
def test_a_clock_that_is_never_set_is_a_fault_after_a_while(clock: ManualClock) -> None:
    clock.synced = False
    faults = FaultRegistry(clock.boottime_ns)
    rounds = CameraWatchdog([], faults, clock)
    clock.advance_s(CLOCK_SYNC_TIMEOUT_S - 1)
    rounds.check()
    assert faults.active() == ()
    clock.advance_s(1)
    rounds.check()
    assert [fault.code for fault in faults.active()] == ["SYS-01"]
    clock.synced = True
    rounds.check()
    assert faults.active() == ()


def view(state: ViewState, *limits: ViewLimit) -> ViewCondition:
    return ViewCondition(state=state, since_ns=0, mean_luma=90, sharpness=0.7, limits=limits)


@pytest.mark.raises_fault("CAM-07", "CAM-08", "CAM-09")
def test_a_limit_of_the_view_for_which_a_person_must_act_is_a_fault(clock: ManualClock) -> None:
    camera, faults = Camera(), FaultRegistry(clock.boottime_ns)
    rounds = CameraWatchdog([camera.watched(clock)], faults, clock)
    untrusted = "counts are not to be trusted: "
    table: list[tuple[ViewCondition | None, list[tuple[str, str]]]] = [
        (None, []),
        (view("good"), []),
        (view("good", "rain"), []),
        (view("good", "low_contrast", "rain"), []),
        (view("good", "shaken"), [("CAM-09", f"{untrusted}the picture shakes")]),
        (
            view("good", "rain", "lens"),
            [("CAM-09", f"{untrusted}the lens bends straight lines too much")],
        ),
        (view("good", "frame_rate"), [("CAM-09", f"{untrusted}too few pictures a second")]),
        (
            view("good", "small"),
            [("CAM-09", f"{untrusted}road users are too small in the picture")],
        ),
        (view("good", "dark"), [("CAM-08", f"{untrusted}too little light to see road users by")]),
        (view("blocked", "blocked", "shaken"), [("CAM-07", "the view is covered")]),
        (view("good"), []),
    ]
    for condition, expected in table:
        clock.advance_s(1)
        camera.last_ns, camera.view = clock.now_ns, condition
        rounds.check()
        assert [(fault.code, fault.detail) for fault in faults.active()] == expected

"""agent.health.box_check, agent.update.boot_check: a boot is good by the agent's health and by the footage on the disk."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from agent.base.health_model import CameraHealth, DetectorHealth, HealthReport, OutboxHealth, Vitals
from agent.health import health_file
from agent.health.box_check import BoxCheck, BoxSample, ExpectedCamera, describe_newest_file
from agent.health.health_file import LiveHealth
from agent.update import boot_check
from agent.update.errors import UpdateError
from tests.conftest import ManualClock

S = 1_000_000_000


def camera(name: str, *, is_open: bool = True, age_s: float | None = 0.1) -> CameraHealth:
    return CameraHealth(
        name=name,
        open=is_open,
        state="delivering" if is_open else "closed",
        stream_fps=10.0,
        detect_fps=None,
        age_s=age_s,
        reconnects=0,
        frames_replaced=0,
        packets_dropped=0,
        last_error=None,
    )


def live(
    t_s: float,
    cameras: Sequence[CameraHealth],
    detectors: Sequence[DetectorHealth] = (),
    *,
    connected: bool = True,
) -> LiveHealth:
    nothing = {**dict.fromkeys(Vitals.__struct_fields__), "supplies": ()}
    report = HealthReport(
        uptime_s=t_s,
        version="0",
        vitals=msgspec.convert(nothing, Vitals),
        stages=(),
        cameras=tuple(cameras),
        detectors=tuple(detectors),
        footage=(),
        outbox=OutboxHealth(
            depth=0, bytes=0, oldest_age_s=None, lost=0, connected=connected, centre_listening=False
        ),
        faults=(),
    )
    return LiveHealth(time="2026-11-25T10:00:00Z", t_ns=int(t_s * S), boot="b", report=report)


def make_check(*names: str, record: bool = True) -> BoxCheck:
    return BoxCheck([ExpectedCamera(name=name, record=record) for name in names], 0)


def missing(
    check: BoxCheck, t_s: float, health: LiveHealth | None, **newest: str
) -> tuple[str, ...]:
    return check.unmet_conditions(BoxSample(t_ns=int(t_s * S), health=health, newest_files=newest))


def test_a_boot_is_good_once_footage_has_grown_during_the_check() -> None:
    check = make_check("north")
    (first,) = missing(check, 10, live(10, [camera("north")]), north="1.mp4.part 100")
    assert first == "camera north: its footage does not grow"
    assert missing(check, 11, live(11, [camera("north")]), north="1.mp4.part 200") == ()


def test_footage_from_an_earlier_boot_does_not_count_as_growing() -> None:
    check = make_check("north")
    for t_s in range(1, 30):
        unmet = missing(check, t_s, live(t_s, [camera("north")]), north="1.mp4 100")
        assert unmet == ("camera north: its footage does not grow",)


def test_footage_that_stops_growing_no_longer_counts_as_good() -> None:
    check = make_check("north")
    missing(check, 1, live(1, [camera("north")]), north="1.mp4.part 100")
    assert missing(check, 2, live(2, [camera("north")]), north="1.mp4.part 200") == ()
    assert missing(check, 17, live(17, [camera("north")]), north="1.mp4.part 200") == ()
    assert missing(check, 18, live(18, [camera("north")]), north="1.mp4.part 200") != ()


def test_a_file_that_vanishes_for_a_moment_has_not_grown() -> None:
    check = make_check("north")
    for t_s, newest in enumerate(["1.mp4 100", "", "1.mp4 100"], start=1):
        unmet = missing(check, t_s, live(t_s, [camera("north")]), north=newest)
        assert unmet == ("camera north: its footage does not grow",)


@pytest.mark.parametrize(
    ("health", "reported"),
    [
        (None, "the agent has reported no health"),
        (live(1, [camera("north")]), "the agent has reported no health for 19 s"),
        (live(10, [camera("north", age_s=None)]), "camera north: sends no frames"),
        (live(10, [camera("north", age_s=6.0)]), "camera north: sends no frames"),
        (live(10, [camera("north", is_open=False)]), "camera north: not open yet"),
        (live(10, []), "camera north: not open yet"),
        (live(10, [camera("north")], connected=False), "not connected to the broker"),
    ],
)
def test_missing_conditions_are_named(health: LiveHealth | None, reported: str) -> None:
    check = make_check("north", record=False)
    assert missing(check, 20, health) == (reported,)


def test_a_camera_that_stays_closed_is_named_and_does_not_block_the_check() -> None:
    check = make_check("north", "south", record=False)
    cameras = [camera("north"), camera("south", is_open=False, age_s=None)]
    assert missing(check, 60, live(60, cameras)) == ("camera south: not open yet",)
    assert missing(check, 61, live(61, cameras)) == ()
    look = BoxSample(t_ns=61 * S, health=live(61, cameras), newest_files={})
    assert check.closed_cameras(look) == ("south",)


def test_a_box_that_opens_no_camera_at_all_is_not_good() -> None:
    check = make_check("north", "south", record=False)
    cameras = [camera(name, is_open=False) for name in ("north", "south")]
    assert missing(check, 61, live(61, cameras)) == ("no camera is open",)


def test_a_larger_or_newer_file_counts_as_other_footage(tmp_path: Path) -> None:
    assert describe_newest_file(tmp_path / "absent") == ""
    assert describe_newest_file(tmp_path) == ""
    (tmp_path / "0000000001_x.mp4").write_bytes(b"12")
    one = describe_newest_file(tmp_path)
    part = tmp_path / "0000000002_x.mp4.part"
    part.write_bytes(b"1")
    two = describe_newest_file(tmp_path)
    part.write_bytes(b"12")
    assert len({"", one, two, describe_newest_file(tmp_path)}) == 4
    (tmp_path / "zzz.txt").write_text("no footage")
    assert describe_newest_file(tmp_path) == f"{part.name} 2"


class Passing(threading.Event):
    """Time passes without being waited for."""

    def wait(self, timeout: float | None = None) -> bool:
        return False


def test_the_check_waits_until_its_deadline_and_names_missing_conditions(
    clock: ManualClock,
) -> None:
    def look() -> BoxSample:
        clock.advance_s(1)
        return BoxSample(t_ns=clock.now_ns, health=None, newest_files={})

    began_ns = clock.now_ns
    reported = boot_check.wait_until_good(make_check("north"), look, clock, 30, Passing())
    assert reported == ("the agent has reported no health",)
    assert (clock.now_ns - began_ns) / S == 30


BUSCTL = """#!/bin/sh
echo "$@" >{folder}/args
echo '{{"type":"ss","data":["rootfs.1","marked slot rootfs.1 as good"]}}'
echo "Call failed: Unknown slot" >&2
exit {code}
"""


@pytest.fixture
def rauc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install `rauc`, and a client of its service that succeeds; return RAUC's file."""
    (tmp_path / "rauc").touch(0o755)
    (tmp_path / "busctl").touch(0o755)
    (tmp_path / "busctl").write_text(BUSCTL.format(folder=tmp_path, code=0))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "rauc"


def test_rauc_marks_the_booted_slot_good_in_the_given_time(rauc: Path) -> None:
    assert boot_check.mark_good(10, rauc) == "marked slot rootfs.1 as good"
    args = (rauc.parent / "args").read_text().split()
    assert "--timeout=10" in args
    assert args[-4:] == ["Mark", "ss", "good", "booted"]


def test_a_failure_of_rauc_is_raised(rauc: Path) -> None:
    (rauc.parent / "busctl").write_text(BUSCTL.format(folder=rauc.parent, code=1))
    with pytest.raises(UpdateError, match=r"^Call failed: Unknown slot$"):
        boot_check.mark_good(10, rauc)


def test_an_unreadable_answer_is_a_failure(rauc: Path) -> None:
    (rauc.parent / "busctl").write_text("#!/bin/sh\necho marked\n")
    with pytest.raises(UpdateError, match="Mark: unreadable answer: "):
        boot_check.mark_good(10, rauc)


def test_a_slow_rauc_is_retried_within_the_remaining_time(
    clock: ManualClock,
) -> None:
    given: list[float] = []

    def slow(within_s: float) -> str:
        given.append(within_s)
        clock.advance_s(200)
        if len(given) < 3:
            raise UpdateError("rauc status: no answer")
        return "marked"

    assert boot_check.mark_with_retry(slow, clock, 500, Passing()) == "marked"
    assert given == [500, 300, 100]


def test_a_rauc_that_fails_until_the_deadline_makes_the_boot_bad(clock: ManualClock) -> None:
    given: list[float] = []

    def failing(within_s: float) -> str:
        given.append(within_s)
        clock.advance_s(20)
        raise UpdateError("exit code 1")

    with pytest.raises(UpdateError, match="exit code 1"):
        boot_check.mark_with_retry(failing, clock, 50, Passing())
    assert given == [boot_check.MIN_RAUC_TIMEOUT_S] * 3, (
        "no less than it needs, even when the time is nearly up"
    )


def test_a_box_without_rauc_has_nothing_to_mark(rauc: Path) -> None:
    rauc.unlink()
    assert boot_check.mark_good(10, rauc.parent) is None


def test_a_box_whose_rauc_has_no_slots_has_nothing_to_mark(rauc: Path) -> None:
    assert boot_check.mark_good(10, rauc.parent / "system.conf") is None


CONFIG = """
[box]
id = "casa-0001"
site = "x"
state = "state"
[broker]
url = "mqtt://127.0.0.1"
[[camera]]
name = "north"
driver = "fake"
options = {}
"""


def boot_good_command(tmp_path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "vigie.toml").write_text(CONFIG)
    return subprocess.run(
        ["vigie", "boot-good", "--config", "vigie.toml", *more],
        cwd=tmp_path,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_box_without_an_agent_is_not_good(tmp_path: Path) -> None:
    done = boot_good_command(tmp_path, "--within", "0.1")
    assert done.returncode == 1
    assert done.stderr.endswith("not good: the agent has reported no health\n")


def test_an_invalid_duration_is_refused(tmp_path: Path) -> None:
    done = boot_good_command(tmp_path, "--within", "-1")
    assert done.returncode == 2
    assert done.stderr == "vigie: --within -1: allowed: a number above 0, up to 86400\n"


def test_a_health_file_of_another_boot_is_ignored(tmp_path: Path, clock: ManualClock) -> None:
    health_file.write(tmp_path, health_file.make_live(live(1, []).report, clock, "earlier"))
    assert health_file.read(tmp_path, "this") is None

"""centre.demo, the pure modules of the demo with a head: script, log and screen."""

import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from agent.base.health_model import HeadHealth
from agent.base.model import CommandAccepted, CommandDone, CommandRefused
from agent.config.heads import FieldOfView, ForbiddenSector
from centre.demo.ptz_devices import HeadMountedStreetCamera
from centre.demo.ptz_log import PtzLog, ReportedLease
from centre.demo.ptz_screen import PtzDemoState, format_holder, ptz_screen, render_compass
from centre.demo.ptz_script import (
    AMINA,
    JONAS,
    SCRIPT,
    TRAFFIC_DESK,
    PtzScript,
    ScriptRunner,
    ScriptStep,
    StepTrigger,
)
from centre.demo.screen import render_screen
from centre.demo.stats import DemoStats
from drivers.contracts import Pose, Range, StreamRequest
from drivers.errors import DriverError
from simulation.heads.head_simulator import HeadMechanics, HeadSimulator
from simulation.street.renderer import bgr_to_planes
from simulation.surround.surround_renderer import SurroundRenderer
from tests.conftest import ManualClock
from tests.whole import demo_values

FOV = FieldOfView(wide=60, tele=20)
WINDOWS = ForbiddenSector(name="windows", pan_deg=(-120, -60), tilt_deg=(20, 60))


def head(**more: Any) -> HeadHealth:
    """A head at rest, without a holder."""
    plain: dict[str, Any] = {
        "name": "head",
        "open": True,
        "pan_deg": 0.0,
        "tilt_deg": 0.0,
        "zoom": 0.0,
        "error_deg": 0.1,
        "moving": False,
        "preset": None,
        "holder": None,
        "tour": "tour",
        "reconnects": 0,
        "moved_pan_deg": 0.0,
        "moved_tilt_deg": 0.0,
        "starts": 0,
        "reversals": 0,
        "moving_h": 0.0,
        "last_error": None,
    }
    return HeadHealth(**(plain | more))


def step(cue: StepTrigger = StepTrigger(), **more: Any) -> ScriptStep:  # noqa: B008 - frozen
    plain: dict[str, Any] = {
        "person": AMINA,
        "action_text": "asks",
        "args": {"do": "acquire"},
        "trigger": cue,
    }
    return ScriptStep(**(plain | more))


def leased(command: str, token: int, left_s: float, by: str = "amina") -> CommandDone:
    lease = {"token": token, "by": by, "role": "operator", "remaining_s": left_s}
    result = msgspec.Raw(msgspec.json.encode({"lease": lease}))
    return CommandDone(command=command, verb="ptz", result=result)


TOURING = head(holder="tour", preset="square")


@pytest.mark.parametrize(
    ("cue", "not_yet", "now"),
    [
        (StepTrigger(), head(open=False), head()),
        (StepTrigger(at_rest=True), head(moving=True), head()),
        (StepTrigger(at_rest=True), head(pan_deg=None), head()),
        (StepTrigger(holder="tour"), head(holder="operator"), head(holder="tour")),
    ],
)
def test_a_script_step_waits_for_its_cue(
    cue: StepTrigger, not_yet: HeadHealth, now: HeadHealth
) -> None:
    prompter = ScriptRunner(PtzScript(steps=(step(cue),)))
    assert prompter.next_step(1.0, not_yet) is None
    assert prompter.next_step(2.0, now) is not None
    assert prompter.next_step(3.0, now) is None


def test_a_pause_begins_after_all_other_cues() -> None:
    prompter = ScriptRunner(PtzScript(steps=(step(StepTrigger(at_rest=True, delay_s=1.0)),)))
    assert prompter.next_step(5.0, head(moving=True)) is None
    assert prompter.next_step(5.5, head()) is None
    assert prompter.next_step(6.0, head(moving=True)) is None
    assert prompter.next_step(6.2, head()) is None
    assert prompter.next_step(7.1, head()) is None
    assert prompter.next_step(7.3, head()) is not None


def test_tour_stops_count_from_the_last_reply() -> None:
    prompter = ScriptRunner(PtzScript(steps=(step(), step(StepTrigger(tour_stops=2)))))
    assert prompter.next_step(0.0, TOURING) is not None
    prompter.on_tour_stop()
    prompter.on_reply(1.0)
    for t_s in (2.0, 3.0):
        assert prompter.next_step(t_s, TOURING) is None
        prompter.on_tour_stop()
    assert prompter.next_step(4.0, TOURING) is not None


def test_a_cue_that_never_comes_times_out() -> None:
    steps = (step(reply_timeout_s=10), step(StepTrigger(holder="tour", timeout_s=20)))
    prompter = ScriptRunner(PtzScript(steps=steps, end_delay_s=2))
    assert prompter.next_step(0.0, head()) == steps[0]
    assert prompter.next_step(9.9, head()) is None
    assert prompter.next_step(10.0, head()) is None
    assert prompter.next_step(29.9, head()) is None
    assert prompter.next_step(30.0, head()) == steps[1]
    assert not prompter.is_over(31.0)
    prompter.on_reply(31.0)
    assert not prompter.is_over(32.9)
    assert prompter.is_over(33.0)


def test_the_demos_script_uses_every_kind_of_command() -> None:
    requested = [each.args["do"] for each in SCRIPT.steps if each.verb == "ptz"]
    assert requested.count("set_preset") == 3
    assert requested[-1] == "sweep"
    assert {"acquire", "goto", "move", "stop", "release", "start_tour"} <= set(requested)


def reported(chronicle: PtzLog) -> list[str]:
    return [line.text.strip() for line in chronicle.lines]


def test_an_idle_lease_expires_and_the_tour_resumes() -> None:
    chronicle = PtzLog()
    assert chronicle.update_head(0.0, head(holder="tour", preset="square"))
    chronicle.add_command(1.0, "a", step())
    assert not chronicle.add_reply(1.1, CommandAccepted(command="a", verb="ptz"))
    assert chronicle.add_reply(1.2, leased("a", 7, 8.0))
    assert not chronicle.update_head(1.4, head(holder="operator"))
    assert chronicle.lease_token(AMINA) == 7
    chronicle.update_head(9.3, head())
    chronicle.update_head(9.5, head(holder="tour", moving=True))
    assert chronicle.update_head(12.0, head(holder="tour", preset="avenue"))
    after = reported(chronicle)[4:]
    assert after == [
        "done: amina has the lease for 8.0 s",
        "no command from Amina (control room) for 8 s: the lease has expired",
        "tour 'tour' resumes by itself",
        "the tour stops at preset 'avenue'",
    ]
    story = chronicle.milestones
    assert [name for _, name in story.tour_stops] == ["square", "avenue"]
    assert (story.commands_sent, story.commands_done) == (1, 1)
    assert story.takeover is not None
    assert story.lease_expiry is not None
    assert story.tour_resumption is not None
    assert story.takeover.t_s < story.lease_expiry.t_s < story.tour_resumption.t_s


def test_a_released_head_has_no_lease_to_expire() -> None:
    chronicle = PtzLog()
    chronicle.add_command(0.0, "a", step(person=JONAS))
    chronicle.add_reply(0.1, leased("a", 1, 8.0, by="jonas"))
    chronicle.update_head(0.2, head(holder="operator"))
    chronicle.add_command(1.0, "b", step(person=JONAS, args={"do": "release"}))
    chronicle.add_reply(1.1, CommandDone(command="b", verb="ptz", result=msgspec.Raw(b"{}")))
    chronicle.update_head(1.2, head(holder="tour"))
    assert chronicle.milestones.lease_expiry is None
    assert "tour 'tour' has the head" in reported(chronicle)
    assert not any("expired" in text for text in reported(chronicle))


def test_a_lease_is_released_before_the_reply_to_its_release_has_come() -> None:
    chronicle = PtzLog()
    chronicle.add_command(0.0, "a", step(person=JONAS))
    chronicle.add_reply(0.1, leased("a", 1, 8.0, by="jonas"))
    chronicle.update_head(0.2, head(holder="operator"))
    chronicle.add_command(1.0, "b", step(person=JONAS, args={"do": "release"}))
    chronicle.update_head(9.0, head(holder="tour"))
    assert not any("expired" in text for text in reported(chronicle))


def test_a_lease_whose_reply_was_slow_expires() -> None:
    chronicle = PtzLog()
    chronicle.add_command(0.0, "a", step())
    chronicle.add_reply(3.0, leased("a", 1, 8.0))
    chronicle.update_head(3.1, head(holder="operator"))
    chronicle.update_head(8.1, head(holder="tour"))
    assert "no command from Amina (control room) for 5 s: the lease has expired" in reported(
        chronicle
    )


def test_a_lease_that_expires_before_the_first_tour_interrupts_none() -> None:
    chronicle = PtzLog()
    chronicle.add_command(0.0, "a", step(person=JONAS))
    chronicle.add_reply(0.1, leased("a", 1, 6.0, by="jonas"))
    chronicle.update_head(0.2, head(holder="operator"))
    chronicle.update_head(6.3, head())
    chronicle.update_head(7.0, head(holder="tour"))
    assert any("the lease has expired" in text for text in reported(chronicle))
    assert "tour 'tour' has the head" in reported(chronicle)
    assert chronicle.milestones.lease_expiry is None
    assert chronicle.milestones.tour_resumption is None


def test_a_rejection_is_shown_in_the_boxs_own_words() -> None:
    chronicle = PtzLog()
    chronicle.add_command(0.0, "a", step(person=TRAFFIC_DESK))
    refused = CommandRefused(command="a", verb="ptz", code="busy", message="'amina' has it")
    assert chronicle.add_reply(0.1, refused)
    assert reported(chronicle)[-1] == "refused (busy): 'amina' has it"
    assert len(chronicle.milestones.refusals) == 1


def test_a_duplicate_or_foreign_reply_is_ignored() -> None:
    chronicle = PtzLog()
    chronicle.add_command(0.0, "a", step())
    assert chronicle.add_reply(0.1, leased("a", 1, 8.0))
    assert not chronicle.add_reply(0.2, leased("a", 1, 8.0))
    assert not chronicle.add_reply(0.3, leased("x", 2, 8.0))
    assert (chronicle.milestones.commands_done, chronicle.lease_token(AMINA)) == (1, 1)


def moment(**more: Any) -> PtzDemoState:
    tally = DemoStats()
    tally.add_frame(demo_values.make_frame_result())
    tally.set_health(demo_values.make_health_report())
    chronicle = PtzLog()
    for number in range(60):
        chronicle.add_command(float(number), str(number), step())
    plain: dict[str, Any] = {
        "t_s": 12.0,
        "stats": tally.view(),
        "head": head(),
        "lease": None,
        "rules_active": True,
        "scene_preset": "square",
        "log_lines": tuple(chronicle.lines),
        "preset_pans_deg": {"behind": -150.0, "square": 32.0},
        "forbidden": (WINDOWS,),
        "fov": FOV,
        "head_text": "a head",
        "broker_url": "mqtt://127.0.0.1:1",
    }
    return PtzDemoState(**(plain | more))


def test_the_compass_shows_the_picture_the_presets_and_forbidden_sectors() -> None:
    ground, names = render_compass(moment(), 72).plain.split("\n")
    assert len(ground) == 72
    # Five degrees a column: the picture, 60 degrees of it, in the middle.
    assert ground[30:42] == "█" * 12
    assert ground[12:24] == "▒" * 12
    assert ground[6] == ground[42] == "▼"
    for name in ("behind", "square", "windows"):
        assert name in names


def test_a_picture_over_the_back_is_shown_at_both_ends_of_the_compass() -> None:
    ground = render_compass(
        moment(head=head(pan_deg=175.0), forbidden=(), preset_pans_deg={}), 72
    ).plain
    assert ground[0] == ground[71] == "█"
    assert ground[36] == "·"


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40), (200, 60), (40, 12)])
def test_the_screen_with_a_head_fits_the_terminal(columns: int, rows: int) -> None:
    console = Console(width=columns, height=rows, force_terminal=True, file=io.StringIO())
    with console.capture() as captured:
        console.print(render_screen(ptz_screen(moment()), columns, rows))
    lines = captured.get().rstrip("\n").split("\n")
    assert len(lines) <= rows or rows < 24
    assert ("\u2580" in captured.get()) == (columns >= 80)


@pytest.mark.parametrize(
    ("holder", "tour", "message"),
    [
        ("tour", "tour", "tour 'tour'"),
        ("operator", None, "operator"),
        (None, "tour", "none (tour 'tour' is running)"),
        (None, None, "none"),
    ],
)
def test_the_holder_of_the_head_is_shown_in_words(
    holder: str | None, tour: str | None, message: str
) -> None:
    assert format_holder(moment(head=head(holder=holder, tour=tour))) == message


@pytest.mark.parametrize(
    ("t_s", "message"),
    [
        (12.0, "Amina (control room), for 8.0 s more"),
        (20.5, "Amina (control room), for 0.0 s more"),
        (30.0, "operator"),
    ],
)
def test_an_expired_lease_is_not_shown_as_current(t_s: float, message: str) -> None:
    held = ReportedLease(person=AMINA, token=1, reported_s=12.0, expires_s=20.0)
    assert format_holder(moment(t_s=t_s, lease=held, head=head(holder="operator"))) == message


def test_the_camera_shows_the_pose_of_the_simulated_head() -> None:
    clock = ManualClock()
    body = HeadSimulator(HeadMechanics(pan_deg=Range(low=-170, high=170)), clock.now_ns)
    street = SurroundRenderer(160, 90, px_per_deg=2.0)
    camera = HeadMountedStreetCamera(
        street,
        (160, 90),
        10.0,
        body,
        FOV,
        StreamRequest(packets=False, frames_fps=10),
        clock.boottime_ns,
    )
    first = camera.read(0.0)
    assert first is not None
    assert camera.read(0.0) is None
    body.goto(clock.now_ns, Pose(pan_deg=90, tilt_deg=-10, zoom=0.5))
    clock.advance_s(10)
    state = body.state_at(clock.now_ns)
    assert state.pan_deg == pytest.approx(90)
    second = camera.read(0.0)
    assert second is not None
    assert second.seq > first.seq + 1
    still = np.abs(second.y.astype(int) - first.y.astype(int)).mean()
    assert still > 10
    camera.close()
    with pytest.raises(DriverError, match="closed"):
        camera.read(0.0)


def test_planes_have_the_pictures_brightness() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[:2] = 255
    y, u, v = bgr_to_planes(image)
    assert y.shape == (4, 6)
    assert u.shape == v.shape == (2, 3)
    assert (y[:2] > 200).all()
    assert (y[2:] < 40).all()
    assert (np.abs(u.astype(int) - 128) <= 1).all()
    assert not y.flags.writeable


def test_the_demo_log_names_the_received_files(tmp_path: Path) -> None:
    chronicle = PtzLog()
    chronicle.add_snapshot(1.0, tmp_path / "001-picture.jpg")
    chronicle.add_panorama(2.0, tmp_path / "panorama.jpg")
    assert str(tmp_path / "001-picture.jpg") in reported(chronicle)[0]
    assert chronicle.milestones.panorama is not None

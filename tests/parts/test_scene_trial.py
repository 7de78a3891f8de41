"""A technician's scene in agent.config_change.config_stage: in force at once, kept if confirmed, otherwise undone."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.base.message import Text
from agent.config import console_settings
from agent.config.commit_confirm import CommitConfirm
from agent.config.desired_store import DESIRED_DIR, layer_file
from agent.config_change.config_stage import MIN_TRIAL_S
from agent.config_change.scene_request import SceneDone, SceneRequest, SceneView
from agent.console.acts.act import call_at_console
from agent.console.acts.scenes import CheckSceneArgs, scene_check
from agent.console.context import ConsoleContext
from tests.parts.config_stage_rig import LINE, MASK, Pole, skip_waits
from tests.whole.no_room import no_room

SMALL_MASK = "[[mask]]\npolygon = [[0.1, 0.1], [0.2, 0.1], [0.2, 0.2]]\n"
NORTH = SceneView(camera="north")


@pytest.fixture
def pole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pole:
    skip_waits(monkeypatch)
    return Pole(tmp_path)


def request(pole: Pole, scene: SceneRequest) -> SceneDone | str:
    outcomes: list[SceneDone | str] = []
    pole.stage.submit_scene(scene, outcomes.append)
    pole.turn()
    (outcome,) = outcomes
    return outcome


def try_scene(pole: Pole, toml: str, view: SceneView = NORTH) -> SceneDone | str:
    scene = SceneRequest(do="try", by="omar", view=view, toml=toml, confirm_s=60)
    return request(pole, scene)


def confirm(pole: Pole) -> SceneDone | str:
    return request(pole, SceneRequest(do="confirm", by="omar"))


def undo(pole: Pole) -> SceneDone | str:
    return request(pole, SceneRequest(do="undo", by="omar"))


def check_scene(pole: Pole, toml: str) -> tuple[Text, ...]:
    """The act of the page at the pole, which the agent takes no part in."""
    context = ConsoleContext(console_settings.read(pole.path), pole.clock, pole.boot)
    return scene_check(call_at_console(context), CheckSceneArgs(camera="north", toml=toml)).problems


def scene_files(pole: Pole) -> dict[str, str]:
    """The texts in the state folder, by the name of their file."""
    folder = pole.path.parent / "state" / DESIRED_DIR / "scenes"
    return {path.name: path.read_text() for path in folder.glob("**/*") if path.is_file()}


def test_a_scene_is_in_force_at_once_and_waits_for_its_confirmation(pole: Pole) -> None:
    assert try_scene(pole, LINE) == SceneDone(restarts=False)
    assert [line.name for line in pole.scenes[-1].line] == ["a"]
    reported = pole.live_s(MIN_TRIAL_S + 5)
    assert (reported.state, reported.version) == ("on_trial", 0)
    assert pole.store.trial_technician() == "omar"
    assert confirm(pole) == SceneDone(restarts=False)
    reported = pole.stage.reported()
    assert (reported.state, reported.scenes_at_box) == ("in_force", ("scenes.north",))
    assert pole.live_s(100).scenes_at_box == ("scenes.north",)
    assert pole.restarts == 0
    assert pole.receipts == [
        "omar: configuration 0: on trial: scenes.north",
        "omar: configuration 0: in force: confirmed by omar",
    ]
    assert [line.name for line in pole.start().sources[0].scene.line] == ["a"]


def test_a_scene_that_nobody_confirms_is_undone(pole: Pole) -> None:
    try_scene(pole, LINE)
    reported = pole.live_s(61)
    assert (reported.state, reported.scenes_at_box, reported.refused) == ("in_force", (), None)
    assert pole.scenes[-1].line == ()
    assert pole.store.pending() is None
    assert pole.receipts[-1] == ("omar: configuration 0: rolled back: not confirmed in time")
    assert confirm(pole) == "no scene is on trial"


def test_a_scene_is_undone_by_request_and_another_one_tried(pole: Pole) -> None:
    try_scene(pole, MASK)
    assert try_scene(pole, LINE) == "another change is on trial; allowed: after its end"
    assert undo(pole) == SceneDone(restarts=False)
    assert pole.scenes[-1].mask == ()
    assert try_scene(pole, SMALL_MASK) == SceneDone(restarts=False)


def test_a_scene_that_hides_less_is_refused(pole: Pole) -> None:
    try_scene(pole, MASK)
    confirm(pole)
    refusal = try_scene(pole, SMALL_MASK)
    assert refusal == (
        "scenes.north: its masks hide less than those in force; allowed: by the centre, with "
        "signatures of two people"
    )
    assert pole.store.pending() is None


@pytest.mark.parametrize(
    ("view", "toml", "reason"),
    [
        (SceneView(camera="south"), LINE, "scenes.south: no such camera; allowed: north"),
        (
            SceneView(camera="north", preset="gate"),
            LINE,
            "scenes.north.gate: the camera is on no head; allowed: no preset",
        ),
        (NORTH, "[[line]]\n", "scenes.north: line[0].name: missing"),
        (NORTH, "not TOML", "scene 'scenes.north': not valid TOML"),
    ],
)
def test_a_wrong_scene_is_refused_in_one_line(
    pole: Pole, view: SceneView, toml: str, reason: str
) -> None:
    refusal = try_scene(pole, toml, view)
    assert isinstance(refusal, str)
    assert refusal.startswith(reason)
    assert "\n" not in refusal
    assert pole.stage.reported().state == "in_force"


def test_a_check_of_a_scene_writes_nothing_into_the_state_folder(pole: Pole) -> None:
    try_scene(pole, MASK)
    confirm(pole)
    state = pole.path.parent / "state"
    before = {path: path.stat().st_mtime_ns for path in state.glob("**/*")}
    assert check_scene(pole, MASK + LINE) == ()
    for number in range(3):
        (problem,) = check_scene(pole, f"# {number}\n{MASK}[[line]]\n")
        assert str(problem).startswith("scenes.north: line[0].name: missing")
        (problem,) = check_scene(pole, f"# {number}\n{SMALL_MASK}")
        assert str(problem).startswith("scenes.north: its masks hide less than those in force")
    (problem,) = check_scene(pole, "not TOML")
    assert str(problem).startswith("scene 'scenes.north': not valid TOML")
    assert {path: path.stat().st_mtime_ns for path in state.glob("**/*")} == before


def test_a_refused_scene_leaves_no_file(pole: Pole) -> None:
    try_scene(pole, MASK)
    for refused in ("[[line]]\n", "not TOML", MASK):
        assert isinstance(try_scene(pole, refused), str)
    assert set(scene_files(pole).values()) == {MASK}, "on trial"
    confirm(pole)
    for refused in ("[[line]]\n", "not TOML", SMALL_MASK):
        assert isinstance(try_scene(pole, refused), str)
    assert set(scene_files(pole).values()) == {MASK}


def test_scenes_that_are_tried_and_undone_one_after_the_other_do_not_add_up(pole: Pole) -> None:
    for number in range(4):
        assert try_scene(pole, f"# {number}\n") == SceneDone(restarts=False)
        undo(pole)
    assert set(scene_files(pole).values()) == {"# 3\n"}
    try_scene(pole, MASK)
    confirm(pole)
    try_scene(pole, MASK + LINE)
    assert set(scene_files(pole).values()) == {MASK, MASK + LINE}, "what a rollback returns to"


def test_the_trial_outlives_a_restart_of_the_agent_and_no_reboot(pole: Pole) -> None:
    try_scene(pole, LINE)
    assert [line.name for line in pole.start().sources[0].scene.line] == ["a"]
    assert pole.live_s(MIN_TRIAL_S + 5).state == "on_trial"
    assert undo(pole) == SceneDone(restarts=True)
    assert pole.restarts == 1
    assert pole.start().sources[0].scene.line == ()
    try_scene(pole, LINE)
    pole.boot = "boot-2"
    assert pole.start().sources[0].scene.line == ()
    assert pole.stage.reported().scenes_at_box == ()


def test_the_centres_next_version_is_complete_and_replaces_the_scene(pole: Pole) -> None:
    pole.send(1, scenes={"north": ""})
    pole.live_s(MIN_TRIAL_S + 2)
    try_scene(pole, LINE)
    confirm(pole)
    assert pole.stage.reported().version == 1
    other = {"north": LINE.replace('"a"', '"b"')}
    reported = pole.send(2, settings={"record": {"segment_s": 5}}, scenes=other)
    assert (reported.version, reported.scenes_at_box) == (1, ("scenes.north",))
    assert pole.restarts == 1
    pole.start()
    reported = pole.live_s(MIN_TRIAL_S + 2)
    assert (reported.state, reported.version, reported.scenes_at_box) == ("in_force", 2, ())


def test_masks_that_cannot_be_applied_leave_the_scene_before(pole: Pole) -> None:
    pole.mask_error = "cannot be drawn"
    outcome = try_scene(pole, MASK)
    assert outcome == "scenes.north: its masks cannot be put in force; see the log"
    assert pole.stage.reported().scenes_at_box == ()


def test_a_scene_whose_masks_are_not_in_force_cannot_be_confirmed_while_the_disk_refuses_its_return(
    pole: Pole,
) -> None:
    with ExitStack() as full_disk:
        pole.mask_error = "cannot be stored"
        pole.on_mask_error = lambda: full_disk.enter_context(no_room())
        assert str(try_scene(pole, MASK)).startswith("the disk refuses it")
        assert confirm(pole) == "its masks cannot be put in force; see the log"
    pole.live_s(1)
    assert pole.stage.reported().scenes_at_box == ()
    assert (pole.store.pending(), pole.store.layer().at_box) == (None, ())
    assert pole.receipts[-1] == "omar: configuration 0: rolled back: cannot be stored"


def test_a_confirmation_on_a_disk_without_room_keeps_the_scene(pole: Pole) -> None:
    try_scene(pole, LINE)
    with no_room():
        assert confirm(pole) == SceneDone(restarts=False)
    assert pole.live_s(2).scenes_at_box == ("scenes.north",)
    assert [line.name for line in pole.start().sources[0].scene.line] == ["a"]


def test_a_scene_whose_confirmation_has_ended_halfway_is_kept_and_cannot_be_undone(
    pole: Pole,
) -> None:
    try_scene(pole, LINE)
    CommitConfirm(layer_file(pole.path.parent / "state")).confirm(pole.clock.now_ns, pole.boot)
    assert undo(pole) == "no scene is on trial"
    assert pole.live_s(1).scenes_at_box == ("scenes.north",)
    assert [line.name for line in pole.scenes[-1].line] == ["a"]
    assert pole.receipts[-1] == "omar: configuration 0: in force"

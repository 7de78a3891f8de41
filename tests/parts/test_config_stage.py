"""agent.config_change.config_stage: a version is decided once, tried, and kept or rolled back; nothing in between."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.base.state_file import DamagedStateFile
from agent.config.commit_confirm import CommitConfirm
from agent.config.desired_config import MAX_VERSION_STEP, content_digest
from agent.config.desired_store import DESIRED_DIR, DesiredStore, layer_file
from agent.config_change.config_stage import MIN_TRIAL_S
from agent.detection.scene import Scene
from agent.health.box_check import CAMERA_OPEN_TIMEOUT_S
from tests.authority_rig import ControlKeys
from tests.parts.config_stage_rig import CONFIG, LINE, MASK, Pole, SignedPole, skip_waits
from tests.whole.no_room import no_room

SOUTH = '[[camera]]\nname = "south"\ndriver = "fake"\n[camera.detect]\nenabled = false\n'


@pytest.fixture
def pole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pole:
    skip_waits(monkeypatch)
    return Pole(tmp_path)


@pytest.fixture
def signed_pole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SignedPole:
    skip_waits(monkeypatch)
    return SignedPole(tmp_path, ControlKeys())


def test_a_scene_alone_is_put_in_force_without_a_restart_and_kept(pole: Pole) -> None:
    reported = pole.send(1, scenes={"north": LINE})
    assert (reported.state, reported.version, reported.by) == ("on_trial", 1, "amina")
    assert [line.name for line in pole.scenes[0].line] == ["a"]
    assert pole.restarts == 0
    reported = pole.live_s(MIN_TRIAL_S + 2)
    assert (reported.state, reported.version, reported.refused) == ("in_force", 1, None)
    assert pole.store.pending() is None
    assert pole.receipts == [
        "amina: configuration 1: on trial: scenes.north",
        "amina: configuration 1: in force",
    ]


def test_a_version_is_not_kept_by_a_report_of_the_time_before_it(pole: Pole) -> None:
    """The health file is some seconds old: the camera may have stopped since."""
    pole.send(1, scenes={"north": LINE})
    pole.report_age_s = 6.0
    assert pole.live_s(MIN_TRIAL_S + 5).state == "on_trial"
    assert pole.live_s(3).state == "in_force"


def test_a_setting_restarts_the_agent_which_tries_it(pole: Pole) -> None:
    pole.send(1, settings={"record": {"segment_s": 5}})
    assert pole.restarts == 1
    assert pole.scenes == []
    pole.turn()
    start = pole.start()
    assert start.config.record.segment_s == 5
    assert (pole.stage.reported().state, pole.kept) == ("on_trial", 0)
    assert pole.live_s(MIN_TRIAL_S + 2).state == "in_force"
    assert pole.kept == 1


def test_a_scene_with_a_setting_is_tried_by_a_restart(pole: Pole) -> None:
    pole.send(1, scenes={"north": LINE}, settings={"health": {"interval_s": 60}})
    assert (pole.restarts, pole.scenes) == (1, [])


@pytest.mark.parametrize("is_live", [True, False])
def test_a_version_with_which_the_box_does_not_work_is_rolled_back(
    pole: Pole, is_live: bool
) -> None:
    pole.works = False
    wanted = {"scenes": {"north": LINE}} if is_live else {"settings": {"record": {"segment_s": 5}}}
    pole.send(1, confirm_s=30, **wanted)
    if not is_live:
        pole.start()
    pole.live_s(29)
    assert pole.stage.reported().state == "on_trial"
    pole.live_s(2)
    if is_live:
        assert pole.scenes[-1] == Scene()
    else:
        assert pole.restarts == 2
        assert pole.start().config.record.segment_s == 10
    reported = pole.stage.reported()
    assert (reported.state, reported.version) == ("in_force", 0)
    assert reported.refused is not None
    assert reported.refused.version == 1
    assert reported.refused.reasons[0] == "rolled back: camera north: sends no frames"
    assert pole.kept == 0
    assert pole.receipts[-1] == "amina: configuration 1: rolled back: camera north: sends no frames"


SEGMENTS = {"settings": {"record": {"segment_s": 5}}}


def test_a_version_that_comes_at_the_start_waits_for_the_cameras_and_is_tried_with_them(
    pole: Pole,
) -> None:
    """The broker delivers it at the connection, before a network camera has opened: it was kept without a picture."""
    pole.cameras["north"], pole.has_health = False, False
    pole.start()
    pole.send(1, settings={"record": {"segment_s": 4}})
    pole.live_s(2)
    pole.has_health = True
    pole.live_s(2)
    pole.redeliver(2, **SEGMENTS)
    assert (pole.restarts, pole.store.decision().version) == (0, 0)
    pole.cameras["north"] = True
    pole.live_s(1)
    assert (pole.restarts, pole.store.decision().version) == (1, 2), "the newest"
    assert pole.store.decision().cameras == ("north",)
    pole.cameras["north"] = False
    assert pole.start().config.record.segment_s == 5
    assert pole.live_s(MIN_TRIAL_S + 2).state == "on_trial"
    pole.cameras["north"] = True
    assert pole.live_s(3).state == "in_force"


def test_a_version_waits_for_a_dead_camera_as_long_as_one_may_take_to_open(pole: Pole) -> None:
    pole.path.write_text(f"{CONFIG}{SOUTH}")
    pole.cameras["south"] = False
    pole.start()
    pole.send(1, scenes={"north": LINE})
    assert pole.live_s(CAMERA_OPEN_TIMEOUT_S).version == 0
    reported = pole.live_s(1)
    assert (reported.state, reported.version) == ("on_trial", 1)
    assert pole.store.decision().cameras == ("north",)
    assert pole.live_s(MIN_TRIAL_S + 2).state == "in_force"
    assert pole.send(2, scenes={"north": LINE + MASK}).version == 2, "it waits once"


def test_a_camera_that_was_open_and_is_not_any_more_is_neither_waited_for_nor_demanded(
    pole: Pole,
) -> None:
    pole.path.write_text(f"{CONFIG}{SOUTH}")
    pole.cameras["south"] = True
    pole.start()
    pole.turn()
    pole.cameras["south"] = False
    pole.send(1, **SEGMENTS)
    assert (pole.restarts, pole.store.decision().cameras) == (1, ("north",))


def test_cameras_that_a_damaged_version_closes_are_not_waited_for(pole: Pole) -> None:
    pole.send(1, scenes={"north": MASK})
    pole.live_s(MIN_TRIAL_S + 2)
    damage(pole)
    pole.cameras["north"] = False
    pole.start()
    pole.redeliver(1, scenes={"north": MASK})
    assert pole.restarts == 1


def test_the_same_version_is_applied_once_and_an_older_one_never(pole: Pole) -> None:
    pole.send(3, scenes={"north": LINE})
    pole.live_s(MIN_TRIAL_S + 2)
    before = pole.reports
    assert pole.send(3, scenes={"north": LINE}).version == 3
    assert (pole.reports, len(pole.scenes)) == (before, 1)
    for version in (2, 3):
        reported = pole.send(version, scenes={"north": MASK})
        assert reported.version == 3
        assert pole.reasons() == (
            f"version = {version}: 3 was decided already; allowed: 4 to 1003",
        )
    pole.start()
    pole.send(2, scenes={"north": MASK})
    assert "3 was decided already" in pole.reasons()[0]


@pytest.mark.parametrize("decided", [0, 3])
def test_a_number_far_ahead_decides_nothing_and_blocks_no_later_version(
    pole: Pole, decided: int
) -> None:
    """The largest number with a mask over everything was in force for ever: no later one was higher."""
    if decided:
        pole.send(decided, scenes={"north": LINE})
        pole.live_s(MIN_TRIAL_S + 2)
    for version in (2**53, decided + MAX_VERSION_STEP + 1):
        reported = pole.send(version, scenes={"north": MASK})
        assert (reported.version, reported.decided) == (decided, decided)
        allowed = f"{decided + 1} to {decided + 1000}"
        assert pole.reasons() == (
            f"version = {version}: {decided} was decided already; allowed: {allowed}",
        )
    reported = pole.send(decided + MAX_VERSION_STEP, scenes={"north": MASK + LINE})
    assert reported.version == decided + MAX_VERSION_STEP == reported.decided


@pytest.mark.parametrize("state", ["in force", "on trial", "damaged", "lost"])
def test_a_version_that_was_reset_at_the_box_does_not_come_back(pole: Pole, state: str) -> None:
    pole.send(900, scenes={"north": MASK})
    if state != "on trial":
        pole.live_s(MIN_TRIAL_S + 2)
    if state == "damaged":
        damage(pole)
    if state == "lost":
        layer_file(pole.path.parent / "state").unlink()
        with pytest.raises(DamagedStateFile):
            pole.store.layer()
    pole.store.reset("karim", "2026-11-25T01:00:00.000Z")
    start = pole.start()
    assert start.sources[0].scene == Scene()
    assert start.sources[0].scene_error is None
    pole.send(900, scenes={"north": MASK})
    reported = pole.stage.reported()
    assert (reported.state, reported.version, reported.decided) == ("in_force", 0, 0)
    assert pole.reasons() == ("reset at the box by karim",)
    assert pole.send(1, scenes={"north": LINE}).version == 1


@pytest.mark.parametrize("is_live", [True, False])
@pytest.mark.parametrize("failed", [True, False])
def test_a_reset_at_the_box_during_a_trial_is_not_undone_by_the_agent_that_still_runs(
    pole: Pole, is_live: bool, failed: bool
) -> None:
    """The console resets in its own process, and then ends the agent: its stage may turn once more."""
    scenes = {"scenes": {"north": LINE + MASK}}
    wanted = scenes if is_live else {**scenes, "settings": {"record": {"segment_s": 5}}}
    pole.send(6, scenes={"north": LINE})
    pole.live_s(MIN_TRIAL_S + 2)
    with ExitStack() as full_disk:
        if failed and is_live:
            pole.mask_error = "camera 'north': masks cannot be stored: no space"
            pole.on_mask_error = lambda: full_disk.enter_context(no_room())
        pole.send(7, **wanted)
    if not is_live:
        pole.start()
    pole.works = not failed
    assert pole.store.pending() is not None
    pole.store.reset("karim", "2026-11-25T01:00:00.000Z")
    reset, receipts, restarts = pole.store.decision(), list(pole.receipts), pole.restarts
    pole.live_s(200)
    assert pole.store.decision() == reset
    assert (pole.store.layer().version, pole.receipts) == (0, receipts)
    assert (pole.restarts, pole.kept) == (restarts + 1, 1), "also if the console ends no agent"
    pole.start()
    assert pole.reasons() == ("reset at the box by karim",)
    assert pole.send(7, **wanted).version == 0
    assert pole.send(1, scenes={"north": LINE}).version == 1


def test_a_version_that_was_rolled_back_is_not_tried_again(pole: Pole) -> None:
    pole.works = False
    pole.send(1, confirm_s=30, scenes={"north": LINE})
    pole.live_s(31)
    pole.works = True
    assert pole.send(1, confirm_s=30, scenes={"north": LINE}).version == 0
    assert pole.reasons()[0].startswith("rolled back: ")
    assert pole.send(2, scenes={"north": LINE}).version == 2


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"box": "pole-18"}, "box = 'pole-18': another box; allowed: 'pole-17'"),
        (
            {"settings": {"broker": {"url": "mqtt://x"}}},
            "broker: the centre may not set it: the way",
        ),
        (
            {"settings": {"camera": {"north": {"detect": {"fps": 0}}}}},
            "camera.north.detect.fps = 0: allowed: 0.1 or more",
        ),
        (
            {"settings": {"record": {"max_age_h": 9999}}},
            "record.max_age_h = 9999: allowed: at most 2160",
        ),
        ({"settings": {"record": {"nonsense": 1}}}, "record.nonsense: unknown key"),
        ({"scenes": {"north": "[[mask]]"}}, "scenes.north: mask[0].polygon: missing"),
        ({"scenes": {"north": LINE * 65}}, "scenes.north: line: 65 of them; allowed: at most 64"),
        ({"scenes": {"north": "= no TOML"}}, "scene 'scenes.north': not valid TOML"),
        ({"scenes": {"north": {"gate": ""}}}, "camera.north.detect.scenes: the camera sits on no"),
        ({"confirm_s": 5}, "down/config: confirm_s = 5: allowed: 30 or more"),
        ({"by": ""}, "down/config: by = '': allowed: one line of 1 to 64 characters"),
        ({"nonsense": 1}, "down/config: nonsense: unknown key"),
        ({"version": 0}, "down/config: version = 0: allowed: 1 or more"),
    ],
)
def test_a_version_that_does_not_fit_is_refused_with_a_line_for_each_key(
    pole: Pole, fields: dict[str, Any], reason: str
) -> None:
    reported = pole.send(1, **fields) if "version" not in fields else pole.send(**fields)
    assert reported.version == 0
    (found,) = pole.reasons()
    assert found.startswith(reason)
    assert pole.restarts == 0
    assert pole.store.pending() is None


def test_each_wrong_key_has_its_line(pole: Pole) -> None:
    pole.send(1, settings={"record": {"segment_s": 0, "flush_s": 99}, "hold": {"kinds": ["x"]}})
    assert [reason.partition(" ")[0] for reason in pole.reasons()] == [
        "record.segment_s",
        "record.flush_s",
        "hold.kinds[0]",
    ]


@pytest.mark.parametrize("payload", [b"{", b"\xff", b"[]", b"7", b"x" * 200_000])
def test_a_payload_that_is_no_message_is_refused_and_decides_nothing(
    pole: Pole, payload: bytes
) -> None:
    pole.stage.submit(payload, is_retained=False)
    pole.turn()
    refused = pole.stage.reported().refused
    assert refused is not None
    assert refused.version is None
    assert pole.store.decision().version == 0


def test_a_removed_message_changes_nothing(pole: Pole) -> None:
    pole.send(1, scenes={"north": LINE})
    pole.live_s(MIN_TRIAL_S + 2)
    pole.stage.submit(b"", is_retained=True)
    pole.turn()
    reported = pole.stage.reported()
    assert (reported.version, reported.refused) == (1, None)


WEAKER = (
    ({"scenes": {"north": ""}}, "scenes.north: its masks hide less than those in force"),
    (
        {"scenes": {"north": MASK}, "settings": {"record": {"max_age_h": 96}}},
        "camera.north: footage would be kept for 96 h, now 72 h",
    ),
)


@pytest.mark.parametrize(("fields", "reason"), WEAKER)
@pytest.mark.parametrize(
    ("signers", "is_taken"),
    [(("amina",), False), (("amina", "brahim"), True)],
)
def test_weaker_protections_need_two_people(
    signed_pole: SignedPole,
    fields: dict[str, Any],
    reason: str,
    signers: tuple[str, ...],
    is_taken: bool,
) -> None:
    pole = signed_pole
    people = [pole.keys.identity(name, "supervisor") for name in signers]
    pole.sign(1, people[0], scenes={"north": MASK})
    pole.live_s(MIN_TRIAL_S + 2)
    pole.sign(2, *people, **fields)
    if is_taken:
        assert pole.store.layer().version == 2
        return
    assert pole.store.layer().version == 1
    assert pole.reasons() == (f"{reason}; allowed: with signatures of two people",)


def stored_files(pole: Pole) -> set[str]:
    """The scenes and cards in the state folder."""
    folder = pole.path.parent / "state" / DESIRED_DIR
    return {
        path.read_text()
        for name in ("scenes", "models")
        for path in folder.glob(f"{name}/**/*.toml")
    }


def test_a_refused_version_leaves_no_scene_and_no_card(signed_pole: SignedPole) -> None:
    pole = signed_pole
    amina = pole.keys.identity("amina", "supervisor")
    pole.sign(1, amina, scenes={"north": MASK})
    pole.live_s(MIN_TRIAL_S + 2)
    model = {"card": "[[", "url": "https://files.example/own.tflite", "size_bytes": 1}
    pole.sign(2, amina, scenes={"north": LINE}, models={"own": model})
    assert pole.reasons()[0].startswith("models.own.card: ")
    pole.sign(3, amina, scenes={"north": LINE}, settings={"camera": {"north": {"driver": "x"}}})
    assert pole.reasons()[0].startswith("camera.north.driver")
    pole.sign(4, amina, scenes={"north": f"{MASK}[[line]]"})
    assert pole.reasons()[0].startswith("scenes.north: line[0].name")
    pole.sign(5, amina, scenes={"north": LINE})
    assert pole.reasons()[0].endswith("; allowed: with signatures of two people")
    assert stored_files(pole) == {MASK}
    pole.sign(6, amina, scenes={"north": MASK + LINE})
    pole.sign(7, amina, scenes={"north": "[["})
    pole.live_s(MIN_TRIAL_S + 3)
    assert (pole.store.layer().version, len(pole.reasons())) == (6, 1)
    assert stored_files(pole) == {MASK, MASK + LINE}


DESTRUCTIVE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"record": {"max_age_h": 24}}, "record.max_age_h = 24: now 72"),
    ({"hold": {"event_days": 1}}, "hold.event_days = 1: now 7"),
    ({"camera": {"north": {"detect": {"enabled": True, "fps": 0.5}}}}, "camera.north.detect.fps"),
)


@pytest.mark.parametrize(("settings", "reason"), DESTRUCTIVE)
def test_a_change_that_destroys_or_blinds_needs_two_people(
    signed_pole: SignedPole, settings: dict[str, Any], reason: str
) -> None:
    pole = signed_pole
    people = [pole.keys.identity(name, "supervisor") for name in ("amina", "brahim")]
    pole.sign(1, people[0], settings=settings)
    assert pole.restarts == 0
    assert pole.reasons()[0].startswith(reason)
    assert pole.reasons()[0].endswith("; allowed: with signatures of two people")
    pole.sign(2, *people, settings=settings)
    assert pole.restarts == 1


def test_masks_that_cannot_be_applied_put_the_scenes_before_back(pole: Pole) -> None:
    pole.mask_error = "camera 'north': masks cannot be stored: no space"
    reported = pole.send(1, scenes={"north": MASK})
    assert (reported.state, reported.version) == ("in_force", 0)
    assert pole.scenes == [Scene()]
    assert pole.reasons() == ("rolled back: camera 'north': masks cannot be stored: no space",)
    assert pole.store.layer().version == 0


@pytest.mark.parametrize("full_s", [2, MIN_TRIAL_S + 2])
def test_a_version_whose_masks_are_not_in_force_is_never_kept_when_the_disk_refuses_its_return(
    pole: Pole, full_s: float
) -> None:
    """A disk without room refuses the masks, and then the decision too."""
    pole.send(1, scenes={"north": LINE})
    pole.live_s(MIN_TRIAL_S + 2)
    with ExitStack() as full_disk:
        pole.mask_error = "camera 'north': masks cannot be stored: no space"
        pole.on_mask_error = lambda: full_disk.enter_context(no_room())
        pole.send(2, scenes={"north": LINE + MASK})
        assert pole.reasons()[0].startswith("the disk refuses it")
        assert pole.live_s(full_s).state == "on_trial"
        assert len(pole.scenes) == 1
    reported = pole.live_s(MIN_TRIAL_S + 2)
    assert pole.kept == 1
    assert (reported.state, reported.version) == ("in_force", 1)
    assert pole.reasons() == ("rolled back: camera 'north': masks cannot be stored: no space",)
    assert [scene.masks for scene in pole.scenes] == [(), ()]
    assert (pole.store.layer().version, pole.store.pending()) == (1, None)
    assert pole.receipts[-1].startswith("amina: configuration 2: rolled back: camera 'north'")


def confirm_without_room(pole: Pole) -> None:
    with no_room():
        pole.live_s(MIN_TRIAL_S + 2)


def confirm_halfway(pole: Pole) -> None:
    """As a confirmation that ends with an error of the disk once nothing is on trial any more."""
    CommitConfirm(layer_of(pole)).confirm(pole.clock.now_ns, pole.boot)
    pole.live_s(1)


@pytest.mark.parametrize("is_live", [True, False])
@pytest.mark.parametrize("end", [confirm_without_room, confirm_halfway])
def test_a_version_whose_confirmation_meets_an_error_of_the_disk_is_kept(
    pole: Pole, is_live: bool, end: Callable[[Pole], None]
) -> None:
    wanted = {"scenes": {"north": MASK}} if is_live else {"settings": {"record": {"segment_s": 5}}}
    pole.send(1, **wanted)
    if not is_live:
        pole.start()
    end(pole)
    restarts = pole.restarts
    for _ in range(2):
        reported = pole.live_s(MIN_TRIAL_S + 2)
        assert (reported.state, reported.version, reported.refused) == ("in_force", 1, None)
        pole.start()
    assert (pole.restarts, pole.kept) == (restarts, 1)
    assert pole.store.layer().version == 1
    assert pole.receipts[-1] == "amina: configuration 1: in force"


@pytest.mark.parametrize("has_manager", [True, False])
def test_a_change_of_the_file_that_is_not_confirmed_in_time_is_rolled_back_and_ends_the_agent(
    pole: Pole, has_manager: bool
) -> None:
    pole.has_manager = has_manager
    pole.start()
    until_ns = pole.clock.now_ns + 10 * 10**9
    changed = CONFIG.replace("pole-17", "pole-18")
    CommitConfirm(pole.path).begin(changed, "box.id", "amina", pole.boot, until_ns)
    pole.live_s(9)
    assert (pole.path.read_text(), pole.restarts) == (changed, 0)
    pole.live_s(2)
    assert (pole.path.read_text(), pole.restarts) == (CONFIG, 1)
    pole.send(1, scenes={"north": MASK})
    assert pole.store.layer().version == 0, "the next start decides"


def test_a_start_after_a_power_cut_has_the_file_from_before_a_change(pole: Pole) -> None:
    changed = CONFIG.replace("fake", "wrong")
    CommitConfirm(pole.path).begin(changed, "camera", "amina", pole.boot, 2**62)
    cut_power(pole)
    assert pole.start().config.camera[0].driver == "fake"
    assert pole.path.read_text() == CONFIG


def cut_power(pole: Pole) -> None:
    pole.boot = "boot-2"


@pytest.mark.parametrize("is_live", [True, False])
def test_a_power_cut_during_a_trial_leaves_the_version_before(pole: Pole, is_live: bool) -> None:
    wanted = {"scenes": {"north": LINE}} if is_live else {"settings": {"record": {"segment_s": 5}}}
    pole.send(1, **wanted)
    cut_power(pole)
    start = pole.start()
    assert start.config.record.segment_s == 10
    assert start.sources[0].scene == Scene()
    reported = pole.stage.reported()
    assert (reported.state, reported.version) == ("in_force", 0)
    assert pole.reasons() == ("rolled back: the box ended before it was seen to work",)


def test_a_restart_during_a_live_trial_continues_it(pole: Pole) -> None:
    pole.send(1, scenes={"north": LINE})
    start = pole.start()
    assert [line.name for line in start.sources[0].scene.line] == ["a"]
    assert pole.live_s(MIN_TRIAL_S + 2).state == "in_force"


def test_a_version_waits_for_the_trial_before_it_and_the_newest_wins(pole: Pole) -> None:
    pole.send(1, scenes={"north": LINE})
    pole.send(2, scenes={"north": MASK})
    pole.send(3, scenes={"north": MASK + LINE})
    assert len(pole.scenes) == 1
    pole.live_s(MIN_TRIAL_S + 3)
    assert pole.stage.reported().version == 3
    assert len(pole.scenes) == 2


def test_after_a_change_of_the_file_the_version_still_counts_if_it_fits(pole: Pole) -> None:
    pole.send(1, scenes={"north": LINE})
    pole.live_s(MIN_TRIAL_S + 2)
    pole.path.write_text(CONFIG.replace('site = "x"', 'site = "y"'))
    start = pole.start()
    assert start.config.box.site == "y"
    assert start.sources[0].scene != Scene()
    assert pole.stage.reported().version == 1


def test_a_version_that_no_longer_fits_a_changed_file_is_left_out_and_reported(pole: Pole) -> None:
    pole.send(1, settings={"camera": {"north": {"detect": {"enabled": True, "fps": 5}}}})
    pole.start()
    pole.live_s(MIN_TRIAL_S + 2)
    pole.path.write_text(CONFIG.replace("north", "south"))
    start = pole.start()
    assert not start.config.camera[0].detect.enabled
    reported = pole.stage.reported()
    assert reported.version == 0
    assert reported.refused is not None
    assert reported.refused.version == 1
    assert pole.reasons() == ("camera.north: no such camera; there are: south",)
    pole.path.write_text(CONFIG)
    assert pole.start().config.camera[0].detect.enabled
    assert (pole.stage.reported().version, pole.reasons()) == (1, ())


def test_a_version_on_trial_that_does_not_fit_a_changed_file_is_rolled_back(pole: Pole) -> None:
    kept = {"record": {"segment_s": 5}}
    pole.send(1, settings=kept)
    pole.start()
    pole.live_s(MIN_TRIAL_S + 2)
    pole.send(2, settings={**kept, "camera": {"north": {"detect": {"fps": 5}}}})
    pole.path.write_text(CONFIG.replace("north", "south"))
    start = pole.start()
    assert start.config.record.segment_s == 5
    reported = pole.stage.reported()
    assert (reported.state, reported.version) == ("in_force", 1)
    assert pole.reasons() == ("camera.north: no such camera; there are: south",)
    assert pole.store.pending() is None


def layer_of(pole: Pole) -> Path:
    return pole.path.parent / "state" / DESIRED_DIR / "layer.json"


def damage(pole: Pole) -> None:
    file = layer_of(pole)
    file.write_bytes(file.read_bytes().replace(b"amina", b"amine"))


def lose(pole: Pole) -> None:
    layer_of(pole).unlink()


@pytest.mark.parametrize("harm", [damage, lose])
def test_with_a_damaged_or_lost_version_every_camera_is_closed_until_the_centre_sends_it_again(
    pole: Pole, harm: Callable[[Pole], None]
) -> None:
    pole.send(1, scenes={"north": MASK})
    pole.live_s(MIN_TRIAL_S + 2)
    harm(pole)
    start = pole.start()
    assert "damaged" in (start.sources[0].scene_error or "")
    assert pole.stage.reported().state == "damaged"
    pole.send(1, scenes={"north": MASK})
    assert pole.restarts == 1
    assert pole.start().sources[0].scene.masks
    assert pole.live_s(MIN_TRIAL_S + 2).version == 1


@pytest.mark.parametrize("harm", [damage, lose])
def test_a_version_is_restored_by_its_message_after_a_newer_one_was_refused(
    pole: Pole, harm: Callable[[Pole], None]
) -> None:
    pole.send(1, scenes={"north": MASK})
    pole.live_s(MIN_TRIAL_S + 2)
    pole.send(2, settings={"broker": {"url": "mqtt://x"}})
    pole.works = False
    pole.send(3, scenes={"north": LINE + MASK})
    pole.live_s(200)
    assert pole.reasons()[0].startswith("rolled back")
    pole.works = True
    assert pole.redeliver(1, scenes={"north": MASK}).version == 1
    harm(pole)
    assert pole.start().layer is None
    pole.redeliver(3, scenes={"north": LINE + MASK})
    assert pole.restarts == 0, "it was rolled back"
    pole.redeliver(1, scenes={"north": MASK})
    assert pole.restarts == 1
    assert pole.start().sources[0].scene.masks


def test_a_version_before_the_one_in_force_restores_nothing(pole: Pole) -> None:
    for version in (1, 2):
        pole.send(version, scenes={"north": MASK + LINE * (version - 1)})
        pole.live_s(MIN_TRIAL_S + 2)
    lose(pole)
    pole.start()
    pole.redeliver(1, scenes={"north": MASK})
    assert pole.restarts == 0
    assert "2 was decided already" in pole.reasons()[0]


def test_the_version_before_a_refused_one_does_not_come_back_after_a_reset(pole: Pole) -> None:
    pole.send(1, scenes={"north": MASK})
    pole.live_s(MIN_TRIAL_S + 2)
    pole.send(2, settings={"broker": {"url": "mqtt://x"}})
    pole.store.reset("omar", "2026-11-25T10:00:00.000Z")
    for is_lost in (False, True):
        if is_lost:
            lose(pole)
        pole.start()
        for version, fields in (
            (1, {"scenes": {"north": MASK}}),
            (2, {"settings": {"broker": {"url": "mqtt://x"}}}),
        ):
            assert pole.redeliver(version, **fields).version == 0


def test_the_refusal_of_a_retained_version_is_reported_once(
    pole: Pole, caplog: pytest.LogCaptureFixture
) -> None:
    refused = pole.send(1, base="0" * 64, scenes={"north": LINE})
    assert pole.store.decision().version == 0, "it decides nothing, and is compared again"
    reports = pole.reports
    for _ in range(3):
        pole.clock.advance_s(60)
        assert pole.redeliver(1, base="0" * 64, scenes={"north": LINE}) == refused
    assert pole.reports == reports
    assert caplog.text.count("refused") == 1
    assert pole.send(1, base="0" * 64, scenes={"north": LINE}) != refused, "a person has sent it"
    assert pole.reports == reports + 1


def test_without_the_version_and_the_decision_every_camera_is_closed_until_two_people_sign(
    pole: Pole,
) -> None:
    pole.send(1, scenes={"north": MASK})
    pole.live_s(MIN_TRIAL_S + 2)
    shutil.rmtree(layer_of(pole).parent)
    start = pole.start()
    assert "missing" in (start.sources[0].scene_error or "")
    pole.send(1, scenes={"north": MASK})
    assert "signatures of two people" in pole.reasons()[0]
    assert pole.start().sources[0].scene_error


def digest_in_force(pole: Pole) -> str:
    return content_digest(pole.store.layer())


def test_a_version_that_was_made_from_other_content_is_refused_and_decides_nothing(
    pole: Pole,
) -> None:
    """Of two people who change the same version the second one is not to take back what the first did."""
    base = digest_in_force(pole)
    pole.send(1, scenes={"north": LINE}, base=base)
    pole.live_s(MIN_TRIAL_S + 2)
    pole.send(2, settings={"record": {"max_age_h": 72}}, base=base)
    assert pole.reasons() == (
        f"base = {base!r}: other content is in force; allowed: made from it, {digest_in_force(pole)!r}",
    )
    assert (pole.store.decision().version, pole.store.layer().version) == (1, 1)
    reported = pole.send(2, scenes={"north": LINE + MASK}, base=digest_in_force(pole))
    assert (reported.version, reported.refused) == (2, None)


def test_the_base_of_a_version_is_compared_again_when_its_time_has_come(pole: Pole) -> None:
    for version in (1, 2, 3):
        pole.send(version, settings={"health": {"interval_s": 10 + version}})
        pole.start()
        pole.live_s(MIN_TRIAL_S + 2)
    base = digest_in_force(pole)
    pole.send(4, settings={"health": {"interval_s": 60}}, base=base)
    assert pole.stage.reported().deferred is not None
    layer = pole.store.layer()
    layer = msgspec.structs.replace(layer, scenes={"north": LINE})
    pole.store.begin(layer, "scenes.north", "hassan", pole.boot, pole.clock.now_ns + 10**12)
    pole.store.confirm(pole.clock.now_ns, pole.boot)
    pole.live_s(900)
    assert pole.reasons()[0].startswith(f"base = {base!r}: other content is in force")
    assert pole.restarts == 3


def test_with_a_damaged_version_another_one_needs_two_people(pole: Pole) -> None:
    pole.send(1, scenes={"north": MASK})
    pole.live_s(MIN_TRIAL_S + 2)
    damage(pole)
    pole.start()
    pole.send(2, scenes={"north": MASK})
    assert "signatures of two people" in pole.reasons()[0]


@pytest.mark.parametrize("state", ["a trial", "none"])
def test_a_disk_that_takes_nothing_refuses_and_changes_nothing(
    pole: Pole, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if state == "a trial":
        pole.send(1, scenes={"north": LINE})

    def full(*_args: object, **_fields: object) -> None:
        raise OSError(28, "No space left on device")

    name: Callable[..., object] = DesiredStore.write_decision
    monkeypatch.setattr(DesiredStore, name.__name__, full)
    pole.send(2, scenes={"north": MASK})
    pole.live_s(MIN_TRIAL_S + 3)
    assert pole.store.layer().version == (1 if state == "a trial" else 0)
    assert "No space left" in pole.reasons()[0]

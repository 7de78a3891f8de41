"""agent.app.config_stage: a version is decided once, tried, and kept or rolled back; nothing in between."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.app import config_stage
from agent.app.config_actions import ConfigActions
from agent.app.config_stage import MIN_TRIAL_S, ConfigStage
from agent.app.desired_message import ConfigSigner, ReceivedConfig, read_plain
from agent.app.model_fetch import FetchedModels
from agent.app.start_config import StartConfig, load_start_config
from agent.base.health_model import DetectorHealth
from agent.config.desired_store import DESIRED_DIR, ConfigLayer, DesiredStore
from agent.detection.model_card import MODELS_FOLDER
from agent.detection.scene import Scene
from agent.health.box_check import BoxSample
from agent.reporting.payloads import ReportedConfig
from drivers.errors import MaskError
from tests.conftest import ManualClock
from tests.pure.test_boot_check import camera, live

CONFIG = """
[box]
id = "pole-17"
site = "x"
state = "state"
[broker]
url = "mqtt://127.0.0.1:1"
[[camera]]
name = "north"
driver = "fake"
[camera.detect]
enabled = false
"""
MASK = "[[mask]]\npolygon = [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]\n"
LINE = '[[line]]\nname = "a"\nfrom = [0, 0.5]\nto = [1, 0.5]\n'
BOOT = "boot-1"


class Pole:
    """A box with its files, its clock and what can be seen of it; the agent is started as often as one likes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "vigie.toml"
        self.path.write_text(CONFIG)
        self.clock = ManualClock()
        self.boot = BOOT
        self.store = DesiredStore(folder / "state")
        self.scenes: list[Scene] = []
        self.receipts: list[str] = []
        self.restarts = 0
        self.reports = 0
        self.works = True
        self.size = 0
        self.mask_error: str | None = None
        self.signers: tuple[ConfigSigner, ...] | None = None
        self.fetches: list[tuple[ConfigLayer, Callable[[FetchedModels], None]]] = []
        self.detects_with: str | None = None
        self.report_age_s = 0.0
        self.start()

    def start(self) -> StartConfig:
        self.started = load_start_config(self.path, self.clock, self.boot)
        actions = ConfigActions(
            read_message=self._read,
            replace_scenes=self._replace_scenes,
            restart=self._restart,
            take_sample=self._sample,
            stored_presets=dict,
            record=lambda by, action: self.receipts.append(f"{by}: {action}"),
            report=self._report,
            fetch_models=lambda layer, on_done: self.fetches.append((layer, on_done)),
        )
        self.stage = ConfigStage(self.path, self.started, self.clock, self.boot, actions)
        return self.started

    def send(self, version: int, **fields: Any) -> ReportedConfig:
        """The centre publishes a version; what the box reports after it has decided."""
        message = {"box": "pole-17", "version": version, "by": "amina", "role": "supervisor"}
        self.stage.submit(msgspec.json.encode({**message, **fields}))
        self.turn()
        return self.stage.reported()

    def turn(self) -> None:
        self.stage.run_once(threading.Event())

    def live_s(self, seconds: float) -> ReportedConfig:
        for _ in range(int(seconds)):
            self.clock.advance_s(1)
            self.turn()
        return self.stage.reported()

    def reasons(self) -> tuple[str, ...]:
        refused = self.stage.reported().refused
        return () if refused is None else refused.reasons

    def _read(self, payload: bytes, is_known: bool) -> ReceivedConfig:
        assert not is_known or self.store.decision().version
        received = read_plain(payload)
        if self.signers is None:
            return received
        return msgspec.structs.replace(received, signers=self.signers)

    def _replace_scenes(self, new: StartConfig) -> None:
        if self.mask_error is not None:
            error, self.mask_error = self.mask_error, None
            raise MaskError(error)
        self.scenes.append(new.sources[0].scene)

    def _restart(self) -> None:
        self.restarts += 1

    def _report(self) -> None:
        self.reports += 1

    def _sample(self) -> BoxSample:
        self.size += self.works
        cameras = [camera("north", age_s=0.1 if self.works else 60)]
        detectors = [
            DetectorHealth(
                camera="north",
                model=self.detects_with,
                inferences_per_s=1.0,
                inference_ms=None,
                tracks=0,
            )
        ]
        return BoxSample(
            t_ns=self.clock.now_ns,
            health=live(self.clock.now_ns / 1e9 - self.report_age_s, cameras, detectors),
            newest_files={"north": f"1.mp4 {self.size}"},
        )


@pytest.fixture
def pole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pole:
    monkeypatch.setattr(config_stage, "CHECK_INTERVAL_S", 0)
    monkeypatch.setattr(config_stage, "IDLE_WAIT_S", 0)
    return Pole(tmp_path)


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
    pole.send(1, settings={"record": {"max_age_h": 24}})
    assert pole.restarts == 1
    assert pole.scenes == []
    pole.turn()
    start = pole.start()
    assert start.config.record.max_age_h == 24
    assert pole.stage.reported().state == "on_trial"
    assert pole.live_s(MIN_TRIAL_S + 2).state == "in_force"


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
    assert pole.receipts[-1] == "amina: configuration 1: rolled back: camera north: sends no frames"


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
            f"version = {version}: 3 was decided already; allowed: 4 or higher",
        )
    pole.start()
    pole.send(2, scenes={"north": MASK})
    assert "3 was decided already" in pole.reasons()[0]


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
            "camera.north.detect.fps = 0: allowed: above 0",
        ),
        (
            {"settings": {"record": {"max_age_h": 9999}}},
            "record.max_age_h = 9999: allowed: at most 2160",
        ),
        ({"settings": {"record": {"nonsense": 1}}}, "record.nonsense: unknown key"),
        ({"scenes": {"north": "[[mask]]"}}, "scenes.north: mask[0].polygon: missing"),
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
    pole.stage.submit(payload)
    pole.turn()
    refused = pole.stage.reported().refused
    assert refused is not None
    assert refused.version is None
    assert pole.store.decision().version == 0


def test_a_removed_message_changes_nothing(pole: Pole) -> None:
    pole.send(1, scenes={"north": LINE})
    pole.live_s(MIN_TRIAL_S + 2)
    pole.stage.submit(b"")
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
    pole: Pole, fields: dict[str, Any], reason: str, signers: tuple[str, ...], is_taken: bool
) -> None:
    pole.send(1, scenes={"north": MASK})
    pole.live_s(MIN_TRIAL_S + 2)
    pole.signers = tuple(ConfigSigner(name=name, role=None) for name in signers)
    pole.send(2, **fields)
    if is_taken:
        assert pole.store.layer().version == 2
        return
    assert pole.store.layer().version == 1
    assert pole.reasons() == (f"{reason}; allowed: with signatures of two people",)


def test_masks_that_cannot_be_applied_put_the_scenes_before_back(pole: Pole) -> None:
    pole.mask_error = "camera 'north': masks cannot be stored: no space"
    reported = pole.send(1, scenes={"north": MASK})
    assert (reported.state, reported.version) == ("in_force", 0)
    assert pole.scenes == [Scene()]
    assert pole.reasons() == ("rolled back: camera 'north': masks cannot be stored: no space",)
    assert pole.store.layer().version == 0


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
    pole.send(1, settings={"camera": {"north": {"record": False, "detect": {"enabled": True}}}})
    pole.start()
    pole.live_s(MIN_TRIAL_S + 2)
    pole.path.write_text(CONFIG.replace("north", "south"))
    start = pole.start()
    assert start.config.camera[0].record
    reported = pole.stage.reported()
    assert reported.version == 0
    assert reported.refused is not None
    assert reported.refused.version == 1
    assert pole.reasons() == ("camera.north: no such camera; there are: south",)
    pole.path.write_text(CONFIG)
    assert not pole.start().config.camera[0].record
    assert (pole.stage.reported().version, pole.reasons()) == (1, ())


def test_a_version_on_trial_that_does_not_fit_a_changed_file_is_rolled_back(pole: Pole) -> None:
    pole.send(1, settings={"record": {"max_age_h": 24}})
    pole.start()
    pole.live_s(MIN_TRIAL_S + 2)
    kept = {"record": {"max_age_h": 24}}
    pole.send(2, settings={**kept, "camera": {"north": {"detect": {"fps": 5}}}})
    pole.path.write_text(CONFIG.replace("north", "south"))
    start = pole.start()
    assert start.config.record.max_age_h == 24
    reported = pole.stage.reported()
    assert (reported.state, reported.version) == ("in_force", 1)
    assert pole.reasons() == ("camera.north: no such camera; there are: south",)
    assert pole.store.pending() is None


def damage(pole: Pole) -> None:
    file = pole.path.parent / "state" / DESIRED_DIR / "layer.json"
    file.write_bytes(file.read_bytes().replace(b"amina", b"amine"))


def test_with_a_damaged_version_every_camera_is_closed_until_the_centre_sends_it_again(
    pole: Pole,
) -> None:
    pole.send(1, scenes={"north": MASK})
    pole.live_s(MIN_TRIAL_S + 2)
    damage(pole)
    start = pole.start()
    assert "damaged" in (start.sources[0].scene_error or "")
    assert pole.stage.reported().state == "damaged"
    pole.send(1, scenes={"north": MASK})
    assert pole.restarts == 1
    assert pole.start().sources[0].scene.masks
    assert pole.live_s(MIN_TRIAL_S + 2).version == 1


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


def own_model(name: str = "own") -> dict[str, Any]:
    """The fields of a version with a model of one's own, a copy of a shipped one, on a camera."""
    card = (MODELS_FOLDER / "nanodet.toml").read_text()
    card = card.replace('name = "nanodet"', f'name = "{name}"', 1)
    model = {"card": card, "url": "https://files.example/own.tflite", "size_bytes": 3_878_888}
    detect = {"enabled": True, "model": name}
    return {"models": {name: model}, "settings": {"camera": {"north": {"detect": detect}}}}


def deliver(pole: Pole) -> Path:
    """Put the file of the newest fetch next to its card. Return its path."""
    layer, on_done = pole.fetches[-1]
    path = Path(pole.store.card_files(layer)["own"]).with_suffix(".tflite")
    shutil.copy(MODELS_FOLDER / "nanodet.tflite", path)
    on_done(FetchedModels())
    return path


def test_a_version_waits_for_its_models_and_is_tried_with_them(pole: Pole) -> None:
    reported = pole.send(1, **own_model())
    assert (reported.version, reported.refused, pole.restarts) == (0, None, 0)
    pole.send(1, **own_model())
    assert len(pole.fetches) == 1
    path = deliver(pole)
    pole.turn()
    assert pole.restarts == 1
    start = pole.start()
    assert start.config.camera[0].detect.model == str(path.with_suffix(".toml"))
    pole.detects_with = "own"
    reported = pole.live_s(MIN_TRIAL_S + 2)
    assert (reported.state, reported.version) == ("in_force", 1)
    assert pole.receipts[0] == (
        "amina: configuration 1: on trial: camera.north.detect.enabled, camera.north.detect.model, "
        "models.own"
    )


def test_a_version_whose_model_does_not_run_on_the_box_is_rolled_back(pole: Pole) -> None:
    pole.send(1, **own_model(), confirm_s=30)
    deliver(pole)
    pole.turn()
    pole.start()
    pole.detects_with = "ssdlite_mobilenet_v2"
    pole.live_s(32)
    assert pole.start().config.camera[0].detect.enabled is False
    assert pole.reasons() == ("rolled back: camera north: does not detect with own",)


def test_a_model_that_cannot_be_fetched_now_is_fetched_at_the_next_delivery(pole: Pole) -> None:
    pole.send(1, **own_model())
    pole.fetches[-1][1](FetchedModels(reasons=("models.own: the connection broke",)))
    pole.turn()
    assert pole.reasons() == ("models.own: the connection broke",)
    pole.send(1, **own_model())
    assert len(pole.fetches) == 2


def test_a_model_that_is_another_one_is_refused_for_good(pole: Pole) -> None:
    pole.send(1, **own_model())
    pole.fetches[-1][1](FetchedModels(reasons=("models.own: another",), is_final=True))
    pole.turn()
    assert pole.reasons() == ("models.own: another",)
    assert pole.receipts == ["amina: configuration 1: refused: models.own: another"]
    pole.send(1, **own_model())
    assert len(pole.fetches) == 1


def test_a_newer_version_takes_the_place_of_one_that_waits_for_its_models(pole: Pole) -> None:
    pole.send(1, **own_model())
    reported = pole.send(2, scenes={"north": LINE})
    assert (reported.state, reported.version) == ("on_trial", 2)
    deliver(pole)
    assert pole.live_s(MIN_TRIAL_S + 2).version == 2
    assert pole.restarts == 0


def test_a_damaged_model_in_force_is_fetched_again_and_the_agent_restarts(pole: Pole) -> None:
    pole.send(1, **own_model())
    path = deliver(pole)
    pole.turn()
    pole.start()
    pole.detects_with = "own"
    assert pole.live_s(MIN_TRIAL_S + 2).state == "in_force"
    path.write_bytes(b"damaged")
    path.with_suffix(".toml").unlink()
    restarts = pole.restarts
    pole.start()
    assert len(pole.fetches) == 2
    deliver(pole)
    pole.turn()
    assert pole.restarts == restarts + 1


@pytest.mark.parametrize(
    ("name", "old", "new", "line"),
    [
        ("nanodet", "", "", "models.nanodet: the agent has a model of this name; allowed: another"),
        (
            "own",
            'decoder = "nanodet"',
            'decoder = "x"',
            "models.own.card: own.toml: decoder = 'x': ",
        ),
        (
            "own",
            "person = 0\n",
            "face = 0\n",
            "models.own.card: own.toml: invalid enum value 'face'",
        ),
        ("own", 'name = "own"', 'name = "other"', "models.own.card: own.toml: name = 'other'"),
        ("face-finder", "", "", "models.face-finder: identifies people; allowed: models of road"),
    ],
)
def test_a_model_is_refused_by_its_card_before_it_is_fetched(
    name: str, old: str, new: str, line: str, pole: Pole
) -> None:
    fields = own_model(name)
    model = fields["models"][name]
    assert old in model["card"]
    model["card"] = model["card"].replace(old, new, 1)
    pole.send(1, **fields)
    assert pole.reasons()[0].startswith(line)
    assert pole.fetches == []

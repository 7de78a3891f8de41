"""agent.app.second_signature: changes that weaken a protection are named, and no others."""

from typing import Any

import msgspec
import pytest

from agent.app.actuator_specs import ActuatorSpecs
from agent.app.second_signature import weakened_protections
from agent.app.start_config import StartConfig
from agent.capture.camera_source import CameraSource
from agent.config.configuration import Config
from agent.config.desired_config import DesiredPreset
from agent.config.desired_store import ConfigLayer
from agent.detection.scene import PrivacyMask, Scene
from drivers.camera import fake
from drivers.contracts import Pose
from drivers.media import Point

SMALL = (Point(0.2, 0.2), Point(0.4, 0.2), Point(0.4, 0.4), Point(0.2, 0.4))
LARGE = (Point(0.1, 0.1), Point(0.5, 0.1), Point(0.5, 0.5), Point(0.1, 0.5))
BASE = {
    "box": {"id": "pole-17", "site": "x"},
    "broker": {"url": "mqtt://127.0.0.1:1"},
    "camera": [{"name": "north", "driver": "fake"}],
}


def scene(*masks: tuple[Point, ...]) -> Scene:
    return Scene(mask=tuple(PrivacyMask(polygon=mask) for mask in masks))


def config(**tables: Any) -> Config:
    return msgspec.convert({**BASE, **tables}, Config)


def source(
    config: Config,
    fixed: Scene | None = None,
    presets: dict[str, Scene] | None = None,
    error: str | None = None,
) -> CameraSource:
    return CameraSource(
        config=config.camera[0],
        scene=fixed or Scene(),
        scenes=presets,
        scene_error=error,
        open_main=lambda wanted: fake.open_camera("north", fake.Options(), wanted, lambda: 0),
        open_detect=None,
    )


def start(
    config: Config, source: CameraSource, presets: dict[str, dict[str, DesiredPreset]] | None = None
) -> StartConfig:
    return StartConfig(
        config=config,
        sources=(source,),
        specs=ActuatorSpecs(),
        layer=ConfigLayer(presets=presets or {}),
    )


def weakened(old: Config, new: Config) -> tuple[str, ...]:
    return weakened_protections(start(old, source(old)), start(new, source(new)), {})


def weaker_views(old: CameraSource, new: CameraSource) -> list[str]:
    lines = weakened_protections(start(config(), old), start(config(), new), {})
    return [line.partition(":")[0] for line in lines]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ({}, {}, None),
        ({}, {"record": {"max_age_h": 48}}, None),
        (
            {},
            {"record": {"max_age_h": 73}},
            "camera.north: footage would be kept for 73 h, now 72 h",
        ),
        ({}, {"record": {"max_bytes": 99_000_000_000}}, None),
        (
            {"camera": [{"name": "north", "driver": "fake", "record": False}]},
            {},
            "camera.north: footage would be kept for 72 h, now 0 h",
        ),
        ({}, {"hold": {"event_days": 8}}, "hold.event_days = 8: now 7"),
        ({}, {"hold": {"event_days": 6, "pre_s": 31}}, "hold.pre_s = 31: now 30"),
        ({}, {"hold": {"post_s": 31}}, "hold.post_s = 31: now 30"),
        (
            {},
            {"hold": {"kinds": ["stopped", "line"]}},
            "hold.kinds: 'line' would be held, now it is not",
        ),
        ({}, {"hold": {"kinds": []}}, None),
    ],
)
def test_footage_that_is_kept_for_longer_is_named(
    old: dict[str, Any], new: dict[str, Any], line: str | None
) -> None:
    assert weakened(config(**old), config(**new)) == (() if line is None else (line,))


def test_the_terms_of_an_institution_limit_its_camera() -> None:
    tram = {
        "camera": [
            {
                "name": "north",
                "driver": "fake",
                "institution": {"owner": "tram", "purpose": "x", "max_age_h": 24},
            }
        ]
    }
    assert weakened(config(**tram), config(**tram, record={"max_age_h": 96})) == ()


@pytest.mark.parametrize(
    ("old", "new", "views"),
    [
        (scene(), scene(SMALL), []),
        (scene(SMALL), scene(LARGE), []),
        (scene(SMALL), scene(SMALL, LARGE), []),
        (scene(LARGE), scene(SMALL), ["scenes.north"]),
        (scene(SMALL), scene(), ["scenes.north"]),
    ],
)
def test_a_mask_that_hides_less_is_named(old: Scene, new: Scene, views: list[str]) -> None:
    assert weaker_views(source(config(), old), source(config(), new)) == views


@pytest.mark.parametrize(
    ("old", "new", "views"),
    [
        ({"gate": scene(SMALL)}, {"gate": scene(LARGE)}, []),
        ({"gate": scene(LARGE)}, {"gate": scene(SMALL)}, ["scenes.north.gate"]),
        # With a mask anywhere, all but the presets with scenes is hidden.
        ({"gate": scene(SMALL)}, {"gate": scene(SMALL), "road": scene()}, ["scenes.north.road"]),
        ({"gate": scene(SMALL), "road": scene()}, {"gate": scene(SMALL)}, []),
        ({"gate": scene(SMALL)}, {"gate": scene()}, ["scenes.north", "scenes.north.gate"]),
        ({"gate": scene()}, {"gate": scene(), "road": scene()}, []),
        ({}, {"gate": scene(SMALL)}, []),
    ],
)
def test_a_view_of_a_head_that_is_uncovered_is_named(
    old: dict[str, Scene], new: dict[str, Scene], views: list[str]
) -> None:
    assert weaker_views(source(config(), presets=old), source(config(), presets=new)) == views


def test_unknown_masks_hide_everything() -> None:
    closed = source(config(), error="damaged")
    assert weaker_views(closed, source(config(), scene(LARGE))) == ["scenes.north"]
    assert weaker_views(source(config(), scene(LARGE)), closed) == []


def test_masked_pixels_that_would_be_stored_are_named() -> None:
    encoded = {"camera": [{"name": "north", "driver": "fake", "transcode": True}]}
    old, new = config(**encoded), config()
    masked = [start(one, source(one, scene(SMALL))) for one in (old, new)]
    assert weakened_protections(*masked, {}) == (
        "camera.north.transcode = false: the pixels under its masks would be stored",
    )
    assert weakened(old, new) == ()


GATE, ELSEWHERE = Pose(pan_deg=1, tilt_deg=2), DesiredPreset(pan_deg=9, tilt_deg=2)


@pytest.mark.parametrize(
    ("masks", "stored", "old", "new", "is_named"),
    [
        (SMALL, {"gate": GATE}, {}, {"gate": ELSEWHERE}, True),
        (SMALL, {}, {}, {"gate": ELSEWHERE}, True),
        (SMALL, {"gate": GATE}, {"gate": ELSEWHERE}, {}, True),
        (SMALL, {"gate": GATE}, {}, {"gate": DesiredPreset(pan_deg=1, tilt_deg=2)}, False),
        (SMALL, {}, {"gate": ELSEWHERE}, {}, False),
        (SMALL, {"gate": GATE}, {}, {"road": ELSEWHERE}, False),
        (None, {"gate": GATE}, {}, {"gate": ELSEWHERE}, False),
    ],
)
def test_a_preset_that_masks_were_drawn_at_and_that_is_moved_is_named(
    masks: tuple[Point, ...] | None,
    stored: dict[str, Pose],
    old: dict[str, DesiredPreset],
    new: dict[str, DesiredPreset],
    is_named: bool,
) -> None:
    box = config(head=[{"name": "mast", "driver": "fake", "camera": "north"}])
    camera = source(box, presets={"gate": scene(masks) if masks else scene()})
    lines = weakened_protections(
        start(box, camera, {"mast": old}), start(box, camera, {"mast": new}), {"mast": stored}
    )
    expected = ("presets.mast.gate: masks were drawn at it, and it would be moved",)
    assert lines == (expected if is_named else ())

"""agent.config_change.second_signature: changes that weaken a protection are named, and no others."""

from typing import Any

import msgspec
import pytest

from agent.capture.camera_source import CameraSource
from agent.config.configuration import Config
from agent.config.desired_config import DesiredPreset
from agent.config.desired_keys import CENTRE_KEYS
from agent.config.desired_store import ConfigLayer
from agent.config_change.actuator_specs import ActuatorSpecs
from agent.config_change.desired_message import ConfigSigner
from agent.config_change.second_signature import (
    irreversible_changes,
    unpermitted_changes,
    weakened_protections,
)
from agent.config_change.start_config import StartConfig
from agent.detection.scene import IgnoreZone, PrivacyMask, Scene, SceneLine, Zone
from agent.recording.retention.eviction_plan import EvictionPreview
from drivers.contracts import Pose
from drivers.media import Point
from simulation.camera import fake

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
    ],
)
def test_footage_that_is_kept_for_longer_is_named(
    old: dict[str, Any], new: dict[str, Any], line: str | None
) -> None:
    assert weakened(config(**old), config(**new)) == (() if line is None else (line,))


def camera(**fields: Any) -> dict[str, Any]:
    return {"camera": [{"name": "north", "driver": "fake", **fields}]}


def tour(dwell_s: float) -> dict[str, Any]:
    stop = [{"preset": "gate"}, {"preset": "road", "dwell_s": dwell_s}]
    tours = [{"name": "round", "stop": stop}]
    return {"head": [{"name": "mast", "driver": "fake", "tour": tours}]}


NO_TOUR = {"head": [{"name": "mast", "driver": "fake"}]}
IRREVERSIBLE: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    (
        "camera[].detect.enabled",
        {},
        camera(detect={"enabled": False}),
        "blinds",
        "camera.north.detect.enabled = false: now true",
    ),
    (
        "camera[].detect.fps",
        {},
        camera(detect={"fps": 0.5}),
        "blinds",
        "camera.north.detect.fps = 0.5: now 10",
    ),
    (
        "camera[].record",
        {},
        camera(record=False),
        "destroys",
        "camera.north.record = false: now true",
    ),
    (
        "head[].tour",
        tour(30),
        tour(9),
        "wears out",
        "head.mast.tour: dwell_s = 9, below 10: the head would hardly rest",
    ),
    (
        "head[].tour",
        NO_TOUR,
        tour(1),
        "wears out",
        "head.mast.tour: dwell_s = 1, below 10: the head would hardly rest",
    ),
    ("hold.command_days", {}, {"hold": {"command_days": 1}}, "destroys", ""),
    ("hold.event_days", {}, {"hold": {"event_days": 6}}, "destroys", "hold.event_days = 6: now 7"),
    (
        "hold.kinds",
        {"hold": {"kinds": ["stopped", "line"]}},
        {"hold": {"kinds": ["line"]}},
        "destroys",
        "hold.kinds: 'stopped' would not be held, now it is",
    ),
    ("hold.post_s", {}, {"hold": {"post_s": 0}}, "destroys", "hold.post_s = 0: now 30"),
    ("hold.pre_s", {}, {"hold": {"pre_s": 0}}, "destroys", "hold.pre_s = 0: now 30"),
    (
        "record.box_max_bytes",
        {},
        {"record": {"box_max_bytes": 10_000_000}},
        "destroys",
        "record.box_max_bytes = 10000000: now 64000000000",
    ),
    (
        "record.max_age_h",
        {},
        {"record": {"max_age_h": 71.5}},
        "destroys",
        "record.max_age_h = 71.5",
    ),
    ("record.max_bytes", {}, {"record": {"max_bytes": 10_000_000}}, "destroys", "record.max_bytes"),
    ("record.segment_s", {}, {"record": {"segment_s": 4}}, "wears out", "record.segment_s = 4"),
    (
        "record.reserve_bytes",
        {},
        {"record": {"reserve_bytes": 2_000_000_000}},
        "destroys",
        "record.reserve_bytes = 2000000000: now 1000000000",
    ),
]


@pytest.mark.parametrize(("key", "old", "new", "harm", "line"), IRREVERSIBLE)
def test_a_change_that_destroys_blinds_or_wears_out_is_found(
    key: str, old: dict[str, Any], new: dict[str, Any], harm: str, line: str
) -> None:
    before, after = config(**old), config(**new)
    (found,) = irreversible_changes(start(before, source(before)), start(after, source(after)), {})
    assert harm in {change.harm for change in CENTRE_KEYS[key]}
    assert found.harm == harm
    assert found.line.startswith(line or key)


def test_a_view_that_detects_is_removed_by_two_people() -> None:
    around = {"name": "around", "driver": "fake", "detect": {"enabled": False}}
    lens = {"projection": "fisheye", "lens": {"field_of_view_deg": 185}}
    view = {"name": "east", "driver": "view", "record": False, "options": {"camera": "around"}}
    both, alone = config(camera=[{**around, **lens}, view]), config(camera=[{**around, **lens}])
    before, after = start(both, source(both)), start(alone, source(alone))
    (found,) = irreversible_changes(before, after, {})
    assert (found.harm, found.line.partition(":")[0]) == ("blinds", "camera.east")
    assert irreversible_changes(after, before, {}) == ()


def test_each_change_of_the_table_that_two_values_show_is_among_these() -> None:
    expected = {
        (key, change.harm)
        for key, changes in CENTRE_KEYS.items()
        for change in changes
        if change.harm != "uncovers"
    }
    assert expected == {(key, harm) for key, _old, _new, harm, _line in IRREVERSIBLE}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (camera(detect={"enabled": False}), camera(detect={"enabled": True})),
        ({}, camera(detect={"fps": 1})),
        (camera(detect={"fps": 0.2}), camera(detect={"fps": 0.5})),
        (NO_TOUR, tour(10)),
        (tour(5), tour(9)),
        (tour(5), NO_TOUR),
        ({}, {"record": {"max_bytes": 99_000_000_000, "box_max_bytes": 99_000_000_000}}),
        ({"record": {"reserve_bytes": 2_000_000_000}}, {}),
        ({}, {"record": {"segment_s": 5, "flush_s": 0}, "health": {"interval_s": 60}}),
    ],
)
def test_a_change_that_a_later_version_takes_back_needs_one_person(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    before, after = config(**old), config(**new)
    assert (
        irreversible_changes(start(before, source(before)), start(after, source(after)), {}) == ()
    )


WHOLE = ((Point(0, 0), Point(1, 0), Point(1, 1), Point(0, 1)),)
LEFT_HALF = (Point(0, 0), Point(0.5, 0), Point(0.5, 1), Point(0, 1))


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (scene(), scene(*WHOLE), "100% of the picture would be hidden or ignored, now 0%"),
        (scene(LEFT_HALF), scene(LEFT_HALF, LARGE), None),
        (scene(LEFT_HALF), scene(LEFT_HALF, WHOLE[0]), "100% of the picture would be"),
        (scene(), scene(LEFT_HALF), None),
        (
            scene(LEFT_HALF),
            scene(LEFT_HALF, (Point(0.5, 0), Point(0.6, 0), Point(0.6, 1), Point(0.5, 1))),
            "60% of the picture would be hidden or ignored, now 50%",
        ),
        (scene(*WHOLE), scene(*WHOLE, LARGE), None),
        (scene(), Scene(ignore=(IgnoreZone(polygon=WHOLE[0]),)), "100% of the picture would be"),
    ],
)
def test_masks_that_hide_more_than_half_of_a_picture_blind_it(
    old: Scene, new: Scene, line: str | None
) -> None:
    box = config()
    found = irreversible_changes(start(box, source(box, old)), start(box, source(box, new)), {})
    assert [change.harm for change in found] == ([] if line is None else ["blinds"])
    assert line is None or found[0].line.startswith(f"scenes.north: {line}")


LINE = SceneLine(name="a", start=Point(0, 0.5), to=Point(1, 0.5))
ZONE = Zone(name="b", polygon=SMALL)


@pytest.mark.parametrize(
    ("old", "new", "is_blind"),
    [
        (Scene(line=(LINE,)), Scene(), True),
        (Scene(zone=(ZONE,)), Scene(mask=scene(SMALL).mask), True),
        (Scene(line=(LINE,)), Scene(zone=(ZONE,)), False),
        (Scene(), Scene(line=(LINE,)), False),
        (Scene(), Scene(), False),
    ],
)
def test_a_scene_whose_lines_and_zones_are_all_gone_blinds_detection(
    old: Scene, new: Scene, *, is_blind: bool
) -> None:
    box = config()
    found = irreversible_changes(start(box, source(box, old)), start(box, source(box, new)), {})
    expected = [("blinds", "scenes.north: no line or zone would be left")]
    assert [(change.harm, change.line) for change in found] == (expected if is_blind else [])


def test_a_first_mask_of_a_head_blinds_its_other_views() -> None:
    box = config()
    old, new = ({"gate": scene()}, {"gate": scene(SMALL)})
    found = irreversible_changes(
        start(box, source(box, presets=old)), start(box, source(box, presets=new)), {}
    )
    assert [change.line for change in found] == [
        "scenes.north: 100% of the picture would be hidden or ignored, now 0%"
    ]


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
    ("masks", "stored", "old", "new", "change"),
    [
        (SMALL, {"gate": GATE}, {}, {"gate": ELSEWHERE}, "moved"),
        (SMALL, {}, {}, {"gate": ELSEWHERE}, "moved"),
        (SMALL, {"gate": GATE}, {"gate": ELSEWHERE}, {}, "moved"),
        (SMALL, {"gate": GATE}, {}, {"gate": DesiredPreset(pan_deg=1, tilt_deg=2)}, None),
        (SMALL, {}, {"gate": ELSEWHERE}, {}, "removed: it could be set elsewhere"),
        (SMALL, {}, {"gate": ELSEWHERE, "road": ELSEWHERE}, {"gate": ELSEWHERE}, None),
        (SMALL, {"gate": GATE}, {}, {"road": ELSEWHERE}, None),
        (None, {"gate": GATE}, {}, {"gate": ELSEWHERE}, None),
        (None, {}, {"gate": ELSEWHERE}, {}, None),
    ],
)
def test_a_preset_that_masks_were_drawn_at_and_that_is_moved_or_removed_is_named(
    masks: tuple[Point, ...] | None,
    stored: dict[str, Pose],
    old: dict[str, DesiredPreset],
    new: dict[str, DesiredPreset],
    change: str | None,
) -> None:
    box = config(head=[{"name": "mast", "driver": "fake", "camera": "north"}])
    camera = source(box, presets={"gate": scene(masks) if masks else scene()})
    lines = weakened_protections(
        start(box, camera, {"mast": old}), start(box, camera, {"mast": new}), {"mast": stored}
    )
    expected = (f"presets.mast.gate: masks were drawn at it, and it would be {change}",)
    assert lines == (() if change is None else expected)


def test_a_preset_that_is_removed_with_its_scene_is_hidden_whole_wherever_it_is_set() -> None:
    box = config(head=[{"name": "mast", "driver": "fake", "camera": "north"}])
    gate_and_road = source(box, presets={"gate": scene(SMALL), "road": scene(SMALL)})
    without_gate = source(box, presets={"road": scene(SMALL)})
    with_preset = start(box, gate_and_road, {"mast": {"gate": ELSEWHERE}})
    removed = start(box, without_gate)
    assert weakened_protections(with_preset, removed, {}) == ()
    back = weakened_protections(removed, start(box, gate_and_road), {})
    assert back == ("scenes.north.gate: its masks hide less than those in force",)


def test_one_person_reads_that_two_sign_the_removal_of_such_a_preset() -> None:
    box = config(head=[{"name": "mast", "driver": "fake", "camera": "north"}])
    camera = source(box, presets={"gate": scene(SMALL)})
    old, new = start(box, camera, {"mast": {"gate": ELSEWHERE}}), start(box, camera)
    amina, brahim = (ConfigSigner(name=name, role="supervisor") for name in ("amina", "brahim"))

    def reasons(*signers: ConfigSigner) -> tuple[str, ...]:
        preview = EvictionPreview()
        return unpermitted_changes(old, new, ConfigLayer(), signers, {}, lambda _rules: preview)

    (reason,) = reasons(amina)
    assert reason == (
        "presets.mast.gate: masks were drawn at it, and it would be removed: it could be set "
        "elsewhere; allowed: with signatures of two people"
    )
    assert reasons(amina, brahim) == ()

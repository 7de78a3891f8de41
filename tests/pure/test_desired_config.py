"""agent.config.desired_keys and desired_config: which keys the centre may set, and the merge with the box's file."""

import re
from typing import Any

import msgspec
import pytest

from agent.base import checked_convert
from agent.config import configuration, desired_keys
from agent.config.desired_config import (
    DesiredContent,
    DesiredPreset,
    changed_cameras,
    iter_refused_keys,
    merge,
    name_entries,
)
from tests.documents.test_docs import keys

ALL_KEYS = sorted(keys(configuration.Config))
BASE: dict[str, Any] = {
    "box": {"id": "pole-17", "site": "x"},
    "broker": {"url": "mqtt://127.0.0.1:1"},
    "record": {"max_age_h": 72.0},
    "camera": [
        {"name": "north", "driver": "fake", "detect": {"fps": 10.0, "scene": "north.toml"}},
        {"name": "dome", "driver": "fake", "detect": {"scenes": {"gate": "gate.toml"}}},
    ],
    "head": [{"name": "mast", "driver": "fake", "camera": "dome"}],
}


@pytest.mark.parametrize("key", ALL_KEYS)
def test_each_key_is_decided(key: str) -> None:
    assert desired_keys.is_settable(key) or desired_keys.refusal_reason(key) is not None, (
        f"{key}: a new key; put it into CENTRE_KEYS or BOX_KEYS of agent/config/desired_keys.py"
    )


def test_each_decision_is_of_a_key_that_exists() -> None:
    for decided in (*desired_keys.CENTRE_KEYS, *desired_keys.BOX_KEYS):
        assert any(re.match(rf"{re.escape(decided)}($|[.\[])", key) for key in ALL_KEYS), decided
    assert not desired_keys.CENTRE_KEYS.keys() & desired_keys.BOX_KEYS.keys()


def test_each_part_of_a_version_is_in_the_table() -> None:
    parts = {field.name for field in msgspec.structs.fields(DesiredContent)}
    assert desired_keys.CENTRE_PARTS.keys() == parts - {"settings"}


@pytest.mark.parametrize(
    "key",
    [
        "box.id",
        "box.state",
        "broker.url",
        "broker.ca",
        "camera[].driver",
        "camera[].options",
        "camera[].institution.viewers",
        "camera[].onvif.url",
        "console.technician[].public_key",
        "head[].forbidden[].pan_deg",
        "head[].options",
        "outbox.max_bytes",
        "pin[].pin",
        "record.recipient[].public_key",
        "update.feed",
        "nonsense",
    ],
)
def test_identity_keys_ways_in_and_addresses_are_the_boxs_own(key: str) -> None:
    assert not desired_keys.is_settable(key)


@pytest.mark.parametrize(
    ("settings", "scenes", "line"),
    [
        ({"record": {"max_age_h": 24}}, {}, None),
        ({"hold": {"kinds": []}, "health": {"interval_s": 60}}, {}, None),
        ({"camera": {"north": {"detect": {"fps": 5}, "record": False}}}, {}, None),
        ({"head": {"mast": {"tour": [], "home": None}}}, {"north": "", "dome": {"gate": ""}}, None),
        ({"record": {"recipient": []}}, {}, r"record.recipient: the centre may not set it: keys"),
        ({"broker": {"url": "mqtt://x"}}, {}, "broker: the centre may not set it: the way back"),
        ({"broker": 7}, {}, "broker: the centre may not set it"),
        ({"nonsense": {"x": 1}}, {}, "nonsense.x: unknown key; allowed: "),
        (
            {"camera": {"south": {"record": True}}},
            {},
            "camera.south: no such camera; there are: north",
        ),
        ({"camera": []}, {}, "camera: allowed: a table by the name of each camera"),
        ({"camera": {"north": 7}}, {}, "camera.north: unknown key"),
        ({"camera": {"north": {"detect": 7}}}, {}, "camera.north.detect: unknown key"),
        ({"camera": {"north": {"name": "x"}}}, {}, "camera.north.name: the centre may not set it"),
        (
            {"camera": {"north": {"detect": {"scene": "/etc/passwd"}}}},
            {},
            "camera.north.detect.scene: the centre may not set it: a file of the box",
        ),
        ({"camera": {"north": {"detect": {"model": "nanodet"}}}}, {}, None),
        (
            {"camera": {"north": {"detect": {"model": "/etc/vigie.toml"}}}},
            {},
            "camera.north.detect.model = '/etc/vigie.toml': a file of the box; allowed: the name of a model",
        ),
        ({"head": {"mast": {"options": {"port": "x"}}}}, {}, "head.mast.options: the centre may"),
        ({}, {"south": ""}, "scenes.south: no such camera; there are: north, dome"),
    ],
)
def test_a_key_that_the_centre_may_not_set_is_named(
    settings: dict[str, Any], scenes: Any, line: str | None
) -> None:
    found = list(iter_refused_keys(BASE, DesiredContent(settings=settings, scenes=scenes)))
    assert len(found) == (line is not None)
    assert line is None or found[0].startswith(line)


AROUND: dict[str, Any] = {
    **BASE,
    "camera": [
        {"name": "around", "driver": "fake", "projection": "fisheye", "lens": {"circle": 1.0}},
        {"name": "old", "driver": "view", "options": {"camera": "around", "pan_deg": 1}},
    ],
}
VIEW: dict[str, Any] = {"driver": "view", "record": False, "options": {"camera": "around"}}


@pytest.mark.parametrize(
    ("settings", "scenes", "line"),
    [
        ({"around": {"lens": {"straight": []}}}, {}, None),
        ({"new": VIEW}, {"new": ""}, None),
        ({"new": {**VIEW, "detect": {"fps": 5}}}, {}, None),
        ({"old": {"options": {"pan_deg": 2}}}, {"old": ""}, None),
        ({"old": None, "gone": None}, {}, None),
        ({"new": {"options": {"camera": "around"}}}, {}, "camera.new: no such camera"),
        ({"new": {**VIEW, "name": "x"}}, {}, "camera.new.name: the centre may not set it"),
        ({"new": {**VIEW, "detect": {"scene": "/x"}}}, {}, "camera.new.detect.scene: the centre"),
        ({"new": {**VIEW, "driver": "rtsp"}}, {}, "camera.new: no such camera"),
        ({"old": {"driver": "rtsp"}}, {}, "camera.old.driver: the centre may not set it"),
        ({"old": 7}, {}, "camera.old: allowed: a table, or null for no such view"),
        ({"around": {"driver": "view"}}, {}, "camera.around.driver: the centre may not set it"),
        ({"around": {"options": {"camera": "x"}}}, {}, "camera.around.options: the centre may not"),
        ({"around": {"projection": "fisheye"}}, {}, "camera.around.projection: the centre may not"),
        ({"around": None}, {}, "camera.around: unknown key"),
        ({"gone": None}, {"gone": ""}, "scenes.gone: no such camera; there are: around, old"),
    ],
)
def test_the_centre_sets_lenses_and_views_and_no_other_new_camera(
    settings: dict[str, Any], scenes: Any, line: str | None
) -> None:
    content = DesiredContent(settings={"camera": settings}, scenes=scenes)
    found = list(iter_refused_keys(AROUND, content))
    assert len(found) == (line is not None), found
    assert line is None or found[0].startswith(line)


def test_views_are_changed_added_after_the_cameras_of_the_file_and_taken_away() -> None:
    changed = {"old": {"options": {"tilt_deg": -50}}, "new": VIEW, "gone": None}
    merged = merge(AROUND, DesiredContent(settings={"camera": changed}), {"new": "/new.toml"}, {})
    assert merged["camera"] == [
        AROUND["camera"][0],
        {**AROUND["camera"][1], "options": {"camera": "around", "pan_deg": 1, "tilt_deg": -50}},
        {"name": "new", **VIEW, "detect": {"scene": "/new.toml"}},
    ]
    without = merge(AROUND, DesiredContent(settings={"camera": {"old": None}}), {}, {})
    assert without["camera"] == [AROUND["camera"][0]]


def test_presets_are_of_a_head_that_exists() -> None:
    presets = {"mast": {"gate": DesiredPreset(pan_deg=1, tilt_deg=2)}}
    assert list(iter_refused_keys(BASE, DesiredContent(presets=presets))) == []
    assert list(iter_refused_keys(BASE, DesiredContent(presets={"pole": {}}))) == [
        "presets.pole: no such head; there are: mast"
    ]


def test_settings_and_scenes_replace_those_of_the_file_key_by_key() -> None:
    settings = {
        "record": {"segment_s": 5},
        "camera": {"north": {"detect": {"fps": 5}}},
        "head": {"mast": {"home": "gate"}},
    }
    files = {"north": "/new.toml", "dome": {"road": "/road.toml"}}
    merged = merge(BASE, DesiredContent(settings=settings), files, {})
    assert merged["record"] == {"max_age_h": 72.0, "segment_s": 5}
    assert merged["camera"][0]["detect"] == {"fps": 5, "scene": "/new.toml"}
    assert merged["camera"][1]["detect"]["scenes"] == {"gate": "gate.toml", "road": "/road.toml"}
    assert merged["head"] == [{"name": "mast", "driver": "fake", "camera": "dome", "home": "gate"}]
    assert BASE["record"] == {"max_age_h": 72.0}
    checked_convert.convert(merged, configuration.Config, "merged")


def test_a_model_of_the_version_is_named_by_the_path_of_its_card() -> None:
    content = DesiredContent(settings={"camera": {"north": {"detect": {"model": "own"}}}})
    merged = merge(BASE, content, {}, {"own": "/state/own.toml"})
    assert merged["camera"][0]["detect"]["model"] == "/state/own.toml"
    assert merged["camera"][1:] == BASE["camera"][1:]


def test_nothing_set_is_the_file_itself() -> None:
    assert merge(BASE, DesiredContent(), {}, {}) == BASE


def test_a_message_names_cameras_and_heads_as_the_centre_knows_them() -> None:
    line = "camera[1].detect.fps = 0: allowed: 0.1 or more; head[0].camera = 'x'; camera[7].name"
    assert name_entries(line, BASE) == (
        "camera.dome.detect.fps = 0: allowed: 0.1 or more; head.mast.camera = 'x'; camera[7].name"
    )


def test_the_keys_of_a_version_are_listed_for_its_receipt() -> None:
    settings = {"record": {"max_age_h": 1}, "camera": {"north": {"detect": {"fps": 5}}}}
    presets = {"mast": {"gate": DesiredPreset(pan_deg=1, tilt_deg=2)}}
    content = DesiredContent(settings=settings, scenes={"north": ""}, presets=presets)
    assert content.keys() == (
        "camera.north.detect.fps",
        "record.max_age_h",
        "scenes.north",
        "presets.mast.gate",
    )


ONE = {"gate": DesiredPreset(pan_deg=1, tilt_deg=2)}


@pytest.mark.parametrize(
    ("old", "new", "cameras"),
    [
        ({}, {"scenes": {"north": ""}}, ("north",)),
        ({"scenes": {"north": ""}}, {}, ("north",)),
        ({"scenes": {"north": ""}}, {"scenes": {"north": "", "dome": {}}}, ("dome",)),
        ({}, {"settings": {"camera": {"north": {"record": False}}}}, ("north",)),
        ({}, {"settings": {"head": {"mast": {"home": "gate"}}}}, ("dome",)),
        ({}, {"presets": {"mast": ONE}, "scenes": {"north": ""}}, ("dome", "north")),
        ({}, {"presets": {"pole": ONE}, "scenes": {"north": ""}}, ()),
        ({}, {"settings": {"record": {"max_age_h": 1}}, "scenes": {"north": ""}}, ()),
        (
            {"settings": {"record": {"max_age_h": 1}}},
            {"settings": {"record": {"max_age_h": 1}}, "scenes": {"north": ""}},
            ("north",),
        ),
        ({}, {}, ()),
    ],
)
def test_the_cameras_of_a_change_are_those_that_it_touches_alone(
    old: dict[str, Any], new: dict[str, Any], cameras: tuple[str, ...]
) -> None:
    found = changed_cameras(
        DesiredContent(**old), DesiredContent(**new), {"mast": "dome", "pole": None}
    )
    assert found == cameras

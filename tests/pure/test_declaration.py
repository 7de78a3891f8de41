"""agent.app.declaration: the public declaration matches the configuration, and contains no more."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

import msgspec
import pytest

from agent.app.declaration import build_declaration
from agent.base.model import LABELS
from agent.config.configuration import Config, InstitutionConfig
from agent.reporting.declaration.data import DeclarationData, RuleCounts

TABLES = {
    "box": {"id": "casa-0001", "site": "Bd Zerktouni"},
    "broker": {"url": "mqtt://127.0.0.1"},
    "camera": [
        {"name": "north", "driver": "fake", "options": {}},
        {
            "name": "tram",
            "driver": "rtsp",
            "options": {},
            "institution": {
                "owner": "Casa Tramway",
                "purpose": "safety at the stop",
                "max_age_h": 24,
                "viewers": ["Samira Alaoui"],
            },
            "onvif": {"url": "http://camera.example", "events": ["DigitalInput"]},
        },
        {"name": "yard", "driver": "fake", "options": {}, "record": False},
    ],
    "record": {"max_age_h": 48, "recipient": [{"id": "prefecture", "public_key": "x"}]},
    "head": [{"name": "mast", "driver": "fake", "camera": "north"}],
}
CONFIG = msgspec.convert(TABLES, Config)
BANK = msgspec.convert(
    {"owner": "Bank", "purpose": "robberies", "max_age_h": 1000}, InstitutionConfig
)


def declare(
    config: Config,
    owner_policies: Mapping[str, InstitutionConfig],
    masked: Collection[str],
    rule_counts: Mapping[str, RuleCounts] = MappingProxyType({}),
    *,
    test_authority: bool = False,
) -> DeclarationData:
    return build_declaration(
        config, owner_policies, masked, rule_counts, "key", trusts_test_authority=test_authority
    )


def test_each_camera_is_declared_with_its_owner_and_retention() -> None:
    message = declare(CONFIG, {}, ["north"])
    assert [
        (
            one.name,
            one.owner,
            one.viewers,
            one.on_ptz_head,
            one.masked,
            one.retention_h,
            one.onvif_topics,
        )
        for one in message.cameras
    ] == [
        ("north", None, None, True, True, 48, ()),
        ("tram", "Casa Tramway", ("Samira Alaoui",), False, False, 24, ("DigitalInput",)),
        ("yard", None, None, False, False, None, ()),
    ]
    assert (message.site, message.public_key, message.recipients) == (
        "Bd Zerktouni",
        "key",
        ("prefecture",),
    )
    assert (message.event_retention_days, message.max_retention_days) == (7, 90)


def test_the_declared_classes_are_road_users_only() -> None:
    assert declare(CONFIG, {}, []).detects == LABELS


def test_a_removed_camera_is_declared_as_long_as_its_footage_exists() -> None:
    (removed,) = declare(CONFIG, {"bank": BANK}, []).cameras[3:]
    assert (removed.name, removed.owner, removed.detection, removed.recorded) == (
        "bank",
        "Bank",
        False,
        False,
    )
    assert removed.retention_h == 48


def test_unencrypted_footage_is_declared() -> None:
    plain = msgspec.structs.replace(
        CONFIG, record=msgspec.structs.replace(CONFIG.record, recipient=())
    )
    assert declare(plain, {}, []).recipients == ()


@pytest.mark.parametrize("test_authority", [True, False])
def test_an_image_that_trusts_the_test_authority_is_declared(test_authority: bool) -> None:
    declared = declare(CONFIG, {}, [], test_authority=test_authority)
    assert declared.trusts_test_authority == test_authority


def test_the_rules_with_enough_picture_detail_are_counted() -> None:
    counts = {
        "north": RuleCounts(total=4, trusted=3, countable_ratio=0.97),
        "yard": RuleCounts(total=2, trusted=None),
    }
    declared = declare(CONFIG, {"bank": BANK}, [], counts).cameras
    assert [one.countable_ratio for one in declared] == [0.97, None, None, None]
    assert [(one.name, one.rules, one.trusted_rules) for one in declared] == [
        ("north", 4, 3),
        ("tram", 0, None),
        ("yard", 2, None),
        ("bank", 0, None),
    ]


def test_a_view_of_a_fisheye_camera_is_declared_as_a_part_of_its_picture() -> None:
    around = {
        "name": "around",
        "driver": "fake",
        "projection": "fisheye",
        "lens": {"field_of_view_deg": 180},
        "detect": {"enabled": False},
    }
    north = {"name": "view", "driver": "view", "options": {"camera": "around"}, "record": False}
    config = msgspec.convert({**TABLES, "camera": [around, north], "head": []}, Config)
    cameras = declare(config, {}, ["around", "view"]).cameras
    assert [(one.name, one.view_of, one.recorded, one.masked) for one in cameras] == [
        ("around", None, True, True),
        ("view", "around", False, True),
    ]


def test_cameras_whose_tracks_are_joined_are_declared() -> None:
    assert declare(CONFIG, {}, []).joined_cameras == ()
    tables = TABLES | {"multi_camera_tracking": {"cameras": ["north", "yard"]}}
    joined = declare(msgspec.convert(tables, Config), {}, [])
    assert joined.joined_cameras == ("north", "yard")

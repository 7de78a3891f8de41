"""agent.app.declaration: the public declaration matches the configuration, and contains no more."""

import msgspec

from agent.app.declaration import build_declaration
from agent.base.model import LABELS
from agent.config.configuration import Config

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
    {"owner": "Bank", "purpose": "robberies", "max_age_h": 1000}, type(CONFIG.camera[1].institution)
)


def test_each_camera_is_declared_with_its_owner_and_retention() -> None:
    message = build_declaration(CONFIG, {}, ["north"], "key")
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
    assert build_declaration(CONFIG, {}, [], "key").detects == LABELS


def test_a_removed_camera_is_declared_as_long_as_its_footage_exists() -> None:
    (removed,) = build_declaration(CONFIG, {"bank": BANK}, [], "key").cameras[3:]
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
    assert build_declaration(plain, {}, [], "key").recipients == ()

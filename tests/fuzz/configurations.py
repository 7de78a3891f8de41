"""Targets that read what people write for a box: its configuration, settings and scenes."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.app.desired_message import read_plain, truncate_reasons
from agent.base.errors import UserError
from agent.config import toml_decode
from agent.config.configuration import Config, iter_conflicts
from agent.config.desired_config import iter_refused_keys, merge, name_entries
from agent.config.placeholders import with_placeholders
from agent.detection.scene import decode_scene
from agent.provisioning.settings import InvalidSettings, parse_settings, scrub_secrets
from tests.fuzz.target import FuzzTarget, check_one_line
from tests.settings_files import GOOD_SETTINGS

DOCS = Path(__file__).parents[2] / "docs"
BOX = "pole-17"


def run_configuration(data: bytes) -> None:
    try:
        tables = toml_decode.parse_toml(data, "configuration")
    except UserError as error:
        return check_one_line(error)
    problems = list(toml_decode.iter_errors(tables, Config, "configuration"))
    config = toml_decode.convert(
        with_placeholders(tables) if problems else tables, Config, "configuration"
    )
    for line in (*problems, *iter_conflicts(config, "configuration")):
        check_one_line(line)
    return None


def run_desired_config(data: bytes) -> None:
    try:
        desired = read_plain(data).desired
    except UserError as error:
        check_one_line(truncate_reasons((str(error),))[0])
        return
    base = toml_decode.parse_toml((DOCS / "vigie.example.toml").read_bytes(), "base")
    refused = list(iter_refused_keys(base, desired))
    if not refused:
        merged = merge(base, desired, desired.scenes, {})
        refused = list(toml_decode.iter_errors(merged, Config, "base"))
    for line in truncate_reasons(tuple(name_entries(line, base) for line in refused)):
        check_one_line(line)
    desired.keys()


def run_scene(data: bytes) -> None:
    try:
        decode_scene(toml_decode.parse_toml(data, "scene"), "scene")
    except UserError as error:
        check_one_line(error)


def run_settings(data: bytes) -> None:
    try:
        parse_settings(data, "settings")
    except InvalidSettings as error:
        for problem in error.problems:
            check_one_line(problem)
        return
    scrubbed = scrub_secrets(data)
    assert scrubbed is None or not scrub_secrets(scrubbed)


DESIRED = msgspec.json.encode(
    {
        "box": BOX,
        "version": 8,
        "settings": {
            "record": {"max_age_h": 48},
            "hold": {"kinds": ["stopped"]},
            "camera": {"north": {"record": True, "detect": {"fps": 5}}},
            "head": {"mast": {"home": None, "tour": []}},
        },
        "scenes": {"north": "[[line]]", "yard": {"gate": ""}},
        "presets": {"mast": {"gate": {"pan_deg": 1, "tilt_deg": 2, "zoom": 0.5}}},
        "by": "amina",
        "role": "supervisor",
    }
)


def _scene_examples() -> Sequence[bytes]:
    scenes = sorted((Path(__file__).parents[2] / "centre/demo/scenes").glob("*.toml"))
    page = (Path(__file__).parents[2] / "docs/scene.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    return [*(path.read_bytes() for path in scenes), *(each.encode() for each in examples)]


TARGETS = {
    "configuration": FuzzTarget(
        run_configuration, lambda: [(DOCS / "vigie.example.toml").read_bytes()]
    ),
    "desired_config": FuzzTarget(run_desired_config, lambda: [DESIRED], mutations=300),
    "scene": FuzzTarget(run_scene, lambda: list(_scene_examples())),
    "settings": FuzzTarget(
        run_settings,
        lambda: [GOOD_SETTINGS.encode(), (DOCS / "vigie-settings.example.toml").read_bytes()],
    ),
}

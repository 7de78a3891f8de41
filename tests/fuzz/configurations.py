"""Targets that read what people write for a box: its configuration, settings and scenes."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent.base import checked_convert
from agent.base.errors import UserError
from agent.base.json_decode import decode_json
from agent.config import toml_decode
from agent.config.configuration import Config, decode_valid_entries
from agent.config.desired_config import (
    DesiredContent,
    PlainDesiredConfig,
    iter_refused_keys,
    merge,
    name_entries,
)
from agent.config_change.desired_message import read_plain, truncate_reasons
from agent.detection.scene import decode_scene
from agent.provisioning.settings import InvalidSettings, parse_settings, parse_tables, scrub_secrets
from agent.reporting import topics
from agent.reporting.payloads import ConfigContentMessage, ReportedContent
from centre.config_text import difference, to_toml
from centre.validate.crossing_truth import decode_truth
from tests.fuzz.messages import ENVELOPE
from tests.fuzz.target import FuzzTarget, check_one_line
from tests.settings_files import GOOD_SETTINGS

DOCS = Path(__file__).parents[2] / "docs"
BOX = "pole-17"


def run_configuration(data: bytes) -> None:
    try:
        tables = toml_decode.parse_toml(data, "configuration")
    except UserError as error:
        return check_one_line(error)
    _config, problems = decode_valid_entries(tables, Config, "configuration")
    for line in problems:
        check_one_line(str(line))
    return None


def base_tables() -> dict[str, Any]:
    return toml_decode.parse_toml((DOCS / "vigie.example.toml").read_bytes(), "base")


def run_desired_config(data: bytes) -> None:
    try:
        desired = read_plain(data).desired
    except UserError as error:
        check_one_line(truncate_reasons((str(error),))[0])
        return
    base = base_tables()
    refused = list(iter_refused_keys(base, desired))
    if not refused:
        merged = merge(base, desired, desired.scenes, {})
        refused = list(map(str, checked_convert.iter_errors(merged, Config, "base")))
    for line in truncate_reasons(tuple(name_entries(line, base) for line in refused)):
        check_one_line(line)
    desired.keys()


def run_config_content(data: bytes) -> None:
    """A broker may return any content as that in force: a person reads it at a terminal."""
    message = topics.decode_as(ConfigContentMessage, data)
    if message is None or checked_convert.is_too_deep(message.data.content.settings):
        return
    content = message.data.content
    text = to_toml(content)
    assert all(char.isprintable() or char == "\n" for char in text)
    toml_decode.parse_toml(text, "shown")
    for lines in (difference(content, DesiredContent()), difference(DesiredContent(), content)):
        for line in (*lines[0], *lines[1]):
            assert line.isprintable()


def run_scene(data: bytes) -> None:
    try:
        decode_scene(toml_decode.parse_toml(data, "scene"), "scene")
    except UserError as error:
        check_one_line(error)


def run_truth(data: bytes) -> None:
    """Labels of films may come from another institution."""
    try:
        decode_truth(data, "truth")
    except UserError as error:
        check_one_line(error)


def run_settings(data: bytes) -> None:
    try:
        scrubbed = scrub_secrets(parse_tables(data, "settings"))  # before the check, as a boot does
        parse_settings(data, "settings")
    except InvalidSettings as error:
        for problem in error.problems:
            check_one_line(problem)
        return
    assert scrubbed is None or not scrub_secrets(parse_tables(scrubbed, "settings"))


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


CONTENT = msgspec.json.encode(
    ConfigContentMessage(
        **msgspec.structs.asdict(ENVELOPE),
        data=ReportedContent(
            version=8, digest="0" * 64, content=decode_json(DESIRED, PlainDesiredConfig).content()
        ),
    )
)


def _scene_examples() -> Sequence[bytes]:
    scenes = sorted((Path(__file__).parents[2] / "centre/demo/scenes").glob("*.toml"))
    page = (Path(__file__).parents[2] / "docs/scene.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    return [*(path.read_bytes() for path in scenes), *(each.encode() for each in examples)]


TRUTH = msgspec.json.encode(
    {
        "street": {
            "line": [0.1, 0.5, 0.9, 0.5],
            "duration": 10.5,
            "view": "gate",
            "by": "amina, jonas",
            "counted": 10.0,
            "crossings": [
                {"t": 1.0, "pos": 0.5, "dir": "A->B", "class": "car", "sure": True, "t_tol": 0.6},
                {
                    "t": 2.0,
                    "dir": "A->B",
                    "class": "car",
                    "sure": False,
                    "claims": [{"by": "amina", "dir": "A->B", "class": "car"}, {"by": "jonas"}],
                },
            ],
            "dont_care": [{"t": 9.0, "pos": 0.1, "dir": "B->A", "why": "stands on the line"}],
            "totals": {"n_sure": 1},
        }
    }
)


TARGETS = {
    "configuration": FuzzTarget(
        run_configuration, lambda: [(DOCS / "vigie.example.toml").read_bytes()]
    ),
    "desired_config": FuzzTarget(run_desired_config, lambda: [DESIRED], mutations=300),
    "config_content": FuzzTarget(run_config_content, lambda: [CONTENT], mutations=300),
    "scene": FuzzTarget(run_scene, lambda: list(_scene_examples())),
    "truth": FuzzTarget(run_truth, lambda: [TRUTH], mutations=300),
    "settings": FuzzTarget(
        run_settings,
        lambda: [GOOD_SETTINGS.encode(), (DOCS / "vigie-settings.example.toml").read_bytes()],
    ),
}

"""`vigie check-config FILE`: checks a configuration without running it."""

import argparse
import sys
from pathlib import Path
from typing import Any

from agent.base.clock import SystemClock
from agent.capture import camera_source
from agent.config.configuration import Config, DetectConfig, read_file
from agent.config.declaration import iter_missing
from agent.config_change import config_check
from agent.detection import scene
from agent.recording.encryption.key_wrapping import parse_recipients


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Checks a configuration, or a scene file; a configuration with its drivers' options, scenes, tours, models and keys, "
        "and prints all that is wrong. Exit code 2: something is."
    )
    parser.add_argument(
        "config", metavar="FILE", type=Path, help="the configuration or the scene, TOML"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print each camera, head and pin, and the recipients of footage, or all problems. Return 2 then.

    A scene file is checked as one. Raises: UserError for its first mistake.
    """
    file = read_file(args.config)
    if _is_scene(file.tables):
        print(_describe_scene(args.config, scene.decode_scene(file.tables, str(args.config))))
        return 0
    clock = SystemClock()
    checked = config_check.check_file(file, clock)
    for problem in checked.problems:
        print(f"vigie: {problem}", file=sys.stderr)
    if checked.problems:
        return 2
    config, cameras = checked.config, checked.sources
    recipients = ", ".join(parse_recipients(config.record.recipient))
    for source in cameras:
        camera = source.config
        camera_facts = [
            _describe_detection(camera.detect),
            "recorded" if camera.record else "not recorded",
        ]
        print(f"camera {camera.name}: {camera.driver}, {', '.join(camera_facts)}")
    for head in (spec.config for spec in checked.specs.heads):
        tours = ", ".join(tour.name for tour in head.tour) or "none"
        camera_text = (
            f"carries camera {head.camera}" if head.camera else "carries no camera of the box"
        )
        print(f"head {head.name}: {head.driver}, {camera_text}; tours: {tours}")
    for pin in config.pin:
        print(f"pin {pin.name}: {type(pin).__struct_config__.tag}, number {pin.pin}")
    print(f"footage: sealed for {recipients}" if recipients else "footage: plain, not sealed")
    for warning in camera_source.iter_ground_warnings(cameras):
        print(f"warning: {warning}")
    missing = ", ".join(iter_missing(config.declaration))
    if missing:
        print(f"warning: the public declaration lacks {missing}")
    print(f"{args.config}: good; box {config.box.id} reports to {config.broker.url}")
    return 0


def _is_scene(tables: dict[str, Any]) -> bool:
    configuration_keys, scene_keys = Config.__struct_fields__, scene.Scene.__struct_fields__
    return any(key in tables for key in scene_keys) and not any(
        key in tables for key in configuration_keys
    )


def _describe_scene(path: Path, checked: scene.Scene) -> str:
    counts = {
        "lines": checked.line,
        "zones": checked.zone,
        "masks": checked.mask,
        "ignored areas": checked.ignore,
    }
    drawn = ", ".join(f"{words}: {len(tables)}" for words, tables in counts.items())
    return f"{path}: good; a scene; {drawn}"


def _describe_detection(detect: DetectConfig) -> str:
    if not detect.enabled:
        return "not watched"
    if detect.accelerator is None:
        return f"watched by {detect.model}"
    return f"watched by {detect.accelerator.model}, without it by {detect.model}"

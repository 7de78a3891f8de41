"""Check of a configuration by the agent's own loaders: each camera, head and pin is built once.

All problems are found, each as one line: a problem of one entry does not hide those of another.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.message import Message, Text, message_of
from agent.config import configuration
from agent.config.configuration import BoxFile, Config
from agent.config.names import is_card_path

if TYPE_CHECKING:
    from agent.capture.camera_source import CameraSource
    from agent.config_change.actuator_specs import ActuatorSpecs

_Built = TypeVar("_Built")


class CheckedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration, and its cameras and actuators, which are all there if there are no `problems`."""

    config: Config
    sources: "tuple[CameraSource, ...]"
    specs: "ActuatorSpecs"
    problems: tuple[Text, ...]


def find_load_problem(path: Path) -> Text | None:
    """Return the first problem of a configuration file without drivers, scenes and models, or None."""
    try:
        configuration.load(path)
    except UserError as error:
        return message_of(error)
    return None


def find_problems(path: Path, clock: Clock, shown_path: Path | None = None) -> list[Text]:
    """Return a line for each problem of a configuration file, which is named by `shown_path` if that is given."""
    try:
        file = configuration.read_file(path)
    except UserError as error:
        return [message_of(error)]
    return list(check_file(file, clock, shown_path).problems)


def check_file(file: BoxFile, clock: Clock, shown_path: Path | None = None) -> CheckedConfig:
    """Check a configuration file, which is named by `shown_path` if that is given, and the files of its models."""
    context = str(shown_path or file.path)
    config, problems = configuration.decode_valid_entries(file.tables, Config, context)
    checked = build(config, file.folder, clock, context)
    return msgspec.structs.replace(
        checked,
        problems=distinct(
            (*problems, *checked.problems, *iter_model_problems(checked.config, context))
        ),
    )


def distinct(problems: tuple[Text, ...]) -> tuple[Text, ...]:
    """Return the lines without those that are there already."""
    return tuple({str(problem): problem for problem in problems}.values())


def build(config: Config, folder: Path, clock: Clock, context: str) -> CheckedConfig:
    """Build the cameras and actuators of a configuration whose relative paths begin at `folder`, and find all problems."""
    # Imported here: all drivers and the detector come with it.
    from agent.authority.control_authority import read_authorities  # noqa: PLC0415
    from agent.capture import camera_source  # noqa: PLC0415
    from agent.clips.uploader import load_authority  # noqa: PLC0415
    from agent.config_change.actuator_specs import (  # noqa: PLC0415
        ActuatorSpecs,
        load_head_spec,
        load_pin_spec,
    )
    from agent.recording.encryption.key_wrapping import parse_recipients  # noqa: PLC0415

    config = configuration.resolve(config, folder)
    problems: list[Text] = list(camera_source.iter_camera_conflicts(config, context))

    def attempt(make: Callable[..., _Built], *args: object) -> tuple[_Built, ...]:
        try:
            return (make(*args),)
        except UserError as error:
            problems.append(message_of(error))
            return ()

    sources = tuple(
        source
        for index in range(len(config.camera))
        for source in attempt(camera_source.build_source, config, index, clock, context, "refuse")
    )
    problems += camera_source.iter_tracking_conflicts(config, sources, context)
    heads = tuple(
        spec
        for index, head in enumerate(config.head)
        for spec in attempt(load_head_spec, head, clock, context, f"head[{index}]")
    )
    pins = attempt(load_pin_spec, config, clock, context) if config.pin else ()
    attempt(parse_recipients, config.record.recipient)
    if config.control.ca is not None:
        attempt(read_authorities, Path(config.control.ca))
    if config.link.ca is not None:
        attempt(load_authority, config.link.ca)
    return CheckedConfig(
        config=config,
        sources=sources,
        specs=ActuatorSpecs(heads=heads, pins=pins[0] if pins else None),
        problems=distinct(tuple(problems)),
    )


def iter_model_problems(config: Config, context: str) -> Iterator[Text]:
    """Compare the files of models that are not the agent's own with their cards."""
    from agent.detection.model_card import (  # noqa: PLC0415 - as above
        ModelRefused,
        find_model,
        read_verified_model,
    )

    for index, camera in enumerate(config.camera):
        if camera.detect.enabled and is_card_path(camera.detect.model):
            try:
                model = find_model(camera.detect.model)
                read_verified_model(model.card, model.path.parent)
            except ModelRefused as error:
                yield Message(
                    "{label}: {problem}",
                    label=f"{context}: camera[{index}].detect.model",
                    problem=message_of(error),
                )

"""Check of a configuration file by the agent's own loaders."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from agent.base import checked_convert
from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.message import Message, Text, map_values, message_of
from agent.config import configuration, desired_config, toml_decode
from agent.config.configuration import CameraConfig, Config
from agent.config.desired_store import ConfigLayer, DesiredStore
from agent.config.link import LinkConfig
from agent.config.model_name import is_card_path
from agent.config.placeholders import with_placeholders
from agent.config_change import delivered_models


def find_load_problem(path: Path) -> Text | None:
    """Return the first problem of a configuration file without drivers, scenes and models, or None."""
    try:
        configuration.load(path)
    except UserError as error:
        return message_of(error)
    return None


def find_problems(path: Path, clock: Clock, shown_path: Path | None = None) -> list[Text]:
    """Return a line for each problem of a configuration file, which is named by `shown_path` if that is given.

    The drivers' options, the scenes, tours, models and keys are checked too. A problem of one entry does
    not hide those of another.
    """
    try:
        tables = toml_decode.read_toml(path, "configuration")
    except UserError as error:
        return [message_of(error)]
    return _distinct(_problems(tables, path, clock, str(shown_path or path), has_model_files=True))


def _distinct(problems: Iterable[Text]) -> list[Text]:
    return list({str(problem): problem for problem in problems}.values())


def _without_file(problem: Text, path: Path) -> Text:
    """Return a problem without the file's name, which is the first label or the begin of one."""
    match problem:
        case Message(values={"label": label, "problem": str() | Message() as rest}) if label == str(
            path
        ):
            return rest
    return problem


def find_layer_problems(
    path: Path, layer: ConfigLayer, store: DesiredStore, clock: Clock
) -> list[Text]:
    """Return a line for each problem of a version of the centre's configuration on a valid file.

    The files of its scenes and cards are written. Each line begins with the key. Raises: UserError if the file cannot be read.
    """
    tables = toml_decode.read_toml(path, "configuration")
    refused: list[Text] = list(desired_config.iter_refused_keys(tables, layer))
    if refused:
        return refused
    store.write_files(layer)
    refused = list(delivered_models.iter_refused(store.card_files(layer)))
    if refused:
        return refused
    merged = desired_config.merge(tables, layer, store.scene_files(layer), store.card_files(layer))

    def name(value: str) -> str:
        line = value.removeprefix(f"{path}: ")
        return store.name_scenes(desired_config.name_entries(line, tables), layer)

    found = _problems(merged, path, clock, str(path), has_model_files=False)
    problems = _distinct(map_values(_without_file(problem, path), name) for problem in found)
    if problems:
        return problems
    link = msgspec.convert(merged.get("link", {}), LinkConfig)
    return list(delivered_models.iter_too_large(layer.models, store.card_files(layer), link))


def _problems(
    tables: dict[str, Any], path: Path, clock: Clock, context: str, *, has_model_files: bool
) -> list[Text]:
    problems = list(checked_convert.iter_errors(tables, Config, context))
    if problems:
        tables = with_placeholders(tables)
    config = checked_convert.convert(tables, Config, context)
    problems += configuration.iter_conflicts(config, context)
    config = configuration.resolve_paths(config, path.absolute().parent)
    problems += _loading_problems(config, clock, context)
    if has_model_files:
        problems += _model_problems(config, context)
    return problems


def _model_problems(config: Config, context: str) -> Iterator[Text]:
    """Compare the files of models that are not the agent's own with their cards."""
    from agent.detection.model_card import (  # noqa: PLC0415 - as below
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


def _loading_problems(config: Config, clock: Clock, context: str) -> Iterator[Text]:
    """Load each camera and head alone."""
    # Imported here: all drivers and the detector come with it.
    from agent.authority.control_authority import read_authorities  # noqa: PLC0415
    from agent.capture import camera_source  # noqa: PLC0415
    from agent.clips.https_request import load_authority  # noqa: PLC0415
    from agent.config_change.actuator_specs import (  # noqa: PLC0415
        load_actuator_specs,
        load_head_spec,
    )
    from agent.recording.encryption.key_wrapping import parse_recipients  # noqa: PLC0415

    for index in range(len(config.camera)):
        alone = msgspec.structs.replace(
            config, camera=_isolate(config.camera, index, _PLACEHOLDER_CAMERA)
        )
        yield from _collect_error(
            lambda alone=alone: camera_source.build_sources(alone, clock, context)  # type: ignore[misc]
        )
    for index, head in enumerate(config.head):
        key_path = f"head[{index}]"
        yield from _collect_error(partial(load_head_spec, head, clock, context, key_path))
    if config.pin:
        pins = msgspec.structs.replace(config, head=())
        yield from _collect_error(lambda: load_actuator_specs(pins, clock, context))
    yield from _collect_error(lambda: parse_recipients(config.record.recipient))
    control_ca = config.control.ca
    if control_ca is not None:
        yield from _collect_error(lambda: read_authorities(Path(control_ca)))
    yield from _collect_error(lambda: load_authority(config.link.ca))


_PLACEHOLDER_CAMERA = CameraConfig(name="x", driver="fake")
"""A valid entry in place of the others, which keeps the index in messages."""


def _isolate(items: tuple[Any, ...], index: int, placeholder: Any) -> tuple[Any, ...]:
    return tuple(item if position == index else placeholder for position, item in enumerate(items))


def _collect_error(check: Callable[[], object]) -> Iterator[Text]:
    try:
        check()
    except UserError as error:
        yield message_of(error)

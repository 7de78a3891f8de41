"""Models that a version of the centre's configuration brings: their cards are in it, their files are fetched."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from agent.config.configuration import Config, DetectConfig
from agent.config.desired_config import CardFiles, DesiredModel
from agent.config.link import LinkConfig
from agent.config.model_name import IDENTIFYING_REFUSAL, is_card_path, name_of_model
from agent.config.names import is_identifying
from agent.detection.model_card import (
    ModelRefused,
    find_model,
    list_model_names,
    read_verified_model,
)
from agent.health.box_check import ExpectedCamera


def iter_refused(card_files: CardFiles) -> Iterator[str]:
    """Yield a line, which begins with the key, for each model that is refused by its card alone."""
    shipped = list_model_names()
    for name, card_path in card_files.items():
        if name in shipped:
            yield f"models.{name}: the agent has a model of this name; allowed: another name"
            continue
        if is_identifying(name):
            yield f"models.{name}: {IDENTIFYING_REFUSAL}"
            continue
        try:
            find_model(card_path)
        except ModelRefused as error:
            yield f"models.{name}.card: {error}"


def iter_too_large(
    models: Mapping[str, DesiredModel], card_files: CardFiles, link: LinkConfig
) -> Iterator[str]:
    """Yield a line, which begins with the key, for each model whose fetch alone takes more than a metered link's day."""
    if not link.metered or link.bytes_per_day is None:
        return
    for name in missing_models(card_files):
        size_bytes = models[name].size_bytes
        if size_bytes > link.bytes_per_day:
            yield (
                f"models.{name}.size_bytes = {size_bytes}: the link is metered; "
                f"allowed: link.bytes_per_day = {link.bytes_per_day} or less"
            )


def missing_models(card_files: CardFiles) -> tuple[str, ...]:
    """Return the names of the models whose file is not there, or is not that of its card."""
    return tuple(name for name, path in card_files.items() if not is_complete(Path(path)))


def is_complete(card_path: Path) -> bool:
    """Return whether the file of a valid card is there, and has its hash."""
    try:
        read_verified_model(find_model(str(card_path)).card, card_path.parent)
    except ModelRefused:
        return False
    return True


def expected_cameras(config: Config, names: Collection[str]) -> tuple[ExpectedCamera, ...]:
    """Return the cameras of these names as a trial expects them."""
    return tuple(
        ExpectedCamera(
            name=camera.name, record=camera.record, model=_delivered_model(camera.detect)
        )
        for camera in config.camera
        if camera.name in names
    )


def _delivered_model(detect: DetectConfig) -> str | None:
    """Return the name of a camera's model if it is not the agent's own, and no accelerator detects in its place."""
    if not detect.enabled or detect.accelerator is not None or not is_card_path(detect.model):
        return None
    return name_of_model(detect.model)

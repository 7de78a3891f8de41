"""A model of one's own: its card, from the facts of the file and what its owner states, checked and measured."""

import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import msgspec

from agent.base import atomic_file, checked_convert
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.model import Label
from agent.base.sha256 import sha256_hex
from agent.config import toml_writer
from agent.config.names import ALLOWED_NAME, NAME_PATTERN, refuse_identifying
from agent.detection.model_card import (
    MAX_MODEL_BYTES,
    Channels,
    DecoderName,
    LabelThresholds,
    ModelBenchmark,
    ModelCard,
    ModelFile,
    ModelInput,
    ModelProvenance,
    ModelRefused,
    find_model,
    list_model_names,
)
from agent.detection.model_child import ModelFacts
from agent.detection.model_process import ModelProcess
from centre.models.labelled_folder import LabelledFolder
from centre.models.measurement import Measurement, measure
from centre.models.onnx_converter import converted

Colour = Literal["rgb", "bgr"]
INSPECT_CPU_S = 60
MIN_MEAN_AP50 = 0.05
"""Below it decoder, labels or colours are not those of the model: the worst shipped one has nine times as much."""

_NANODET_MEAN: Channels = (103.53, 116.28, 123.675)
_NANODET_SCALE: Channels = (57.375, 57.12, 58.395)


class InputConvention(msgspec.Struct, frozen=True, kw_only=True):
    """The usual input of a decoder's models, which no file states. Mean and scale are of float inputs."""

    float_colour: Colour
    mean: Channels = (0.0, 0.0, 0.0)
    scale: Channels = (1.0, 1.0, 1.0)
    resize: Literal["stretch", "letterbox"] = "stretch"
    thresholds: LabelThresholds = LabelThresholds(start_track=0.4, keep_track=0.25, show_still=0.55)


CONVENTIONS: dict[DecoderName, InputConvention] = {
    "ssd": InputConvention(
        float_colour="rgb",
        mean=(127.5, 127.5, 127.5),
        scale=(127.5, 127.5, 127.5),
        thresholds=LabelThresholds(start_track=0.3, keep_track=0.2, show_still=0.6),
    ),
    "nanodet": InputConvention(float_colour="bgr", mean=_NANODET_MEAN, scale=_NANODET_SCALE),
    "nanodet_plus": InputConvention(float_colour="bgr", mean=_NANODET_MEAN, scale=_NANODET_SCALE),
    "yolox": InputConvention(float_colour="bgr", resize="letterbox"),
}


class OwnModel(msgspec.Struct, frozen=True, kw_only=True):
    """A file, and what its owner states of it. `colour` is that of the decoder's usual models by default."""

    file: Path
    name: str
    decoder: DecoderName
    labels: dict[Label, int]
    licence: str
    source: str
    colour: Colour | None = None


def add_model(
    own: OwnModel,
    labelled: LabelledFolder,
    folder: Path,
    on_progress: Callable[[int, int], None],
) -> tuple[Measurement, ...]:
    """Check and measure a model, and write `NAME.tflite` and `NAME.toml` into a folder.

    Return its measurement, and those of the shipped models in the same run. Raises: UserError if the model or its
    description is refused.
    """
    _check_names(own, folder)
    with ExitStack() as stack:
        path, conversion = own.file, "none"
        if own.file.suffix == ".onnx":
            path, conversion = stack.enter_context(converted(own.file))
        try:
            content = read_regular_file(path, MAX_MODEL_BYTES)
        except OSError as error:
            raise UserError(f"{own.file}: {error.strerror or error}") from error
        try:
            card = _make_card(own, _inspect(own, path), sha256_hex(content), conversion)
            models = [ModelFile(card=card, path=path), *map(find_model, list_model_names())]
            measured = measure(models, labelled, on_progress)
        except ModelRefused as error:
            raise UserError(str(error)) from error
    if measured[0].mean_ap50 < MIN_MEAN_AP50:
        raise UserError(
            f"{own.file}: AP50 {measured[0].mean_ap50} on {labelled.name}: its decoder, labels or colours are others; "
            f"allowed: {MIN_MEAN_AP50} or more"
        )
    card = msgspec.structs.replace(card, measured=measured[0].as_benchmark(labelled))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic_file.replace_atomically(folder / f"{own.name}.tflite", content, 0o644)
        # After the model: a card without its file is no model.
        text = toml_writer.dumps(msgspec.to_builtins(card))
        atomic_file.replace_atomically(folder / f"{own.name}.toml", text.encode(), 0o644)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}") from error
    return measured


def _check_names(own: OwnModel, folder: Path) -> None:
    """Raises: UserError."""
    if own.file.suffix not in {".tflite", ".onnx"}:
        raise UserError(f"{own.file}: allowed: a file .tflite or .onnx")
    refuse_identifying(f"{own.file}:", (own.file.stem, own.name))
    if not NAME_PATTERN.fullmatch(own.name):
        raise UserError(f"--name {own.name!r}: allowed: {ALLOWED_NAME}")
    if own.name in (*list_model_names(), *list_model_names(folder)):
        raise UserError(f"--name {own.name}: there is such a model; allowed: another name")


def default_name(file: Path) -> str:
    """Return the name of a file's model, if `--name` gives none."""
    return re.sub(r"[^a-z0-9_-]+", "-", file.stem.lower()).strip("-_")[:63]


def _inspect(own: OwnModel, path: Path) -> ModelFacts:
    """Raises: ModelRefused, UserError."""
    with ModelProcess(f"model {own.file.name!r}", [path], INSPECT_CPU_S) as process:
        facts = process.inspect(path)
    refuse_identifying(f"{own.file}: its class", facts.class_names)
    return facts


def _make_card(own: OwnModel, facts: ModelFacts, sha256: str, conversion: str) -> ModelCard:
    """Raises: UserError if the input is none that a card can have."""
    convention = CONVENTIONS[own.decoder]
    return ModelCard(
        name=own.name,
        title=f"{own.file.name}, brought by its owner",
        sha256=sha256,
        decoder=own.decoder,
        licence=own.licence,
        attribution=own.source,
        input=_make_input(own, facts, convention),
        labels=own.labels,
        thresholds=dict.fromkeys(own.labels, convention.thresholds),
        provenance=ModelProvenance(
            weights=own.source,
            package=own.file.name,
            conversion=conversion,
            trained_on="not stated",
        ),
        measured=ModelBenchmark(ap50_on="", ap50={}, inference_ms=0.0, inference_on=""),
    )


def _make_input(own: OwnModel, facts: ModelFacts, convention: InputConvention) -> ModelInput:
    if len(facts.inputs) != 1:
        raise UserError(f"{own.file}: {len(facts.inputs)} inputs; allowed: one picture")
    shape, dtype = facts.inputs[0].shape, facts.inputs[0].dtype
    match shape:
        case (1, height, width, 3):
            layout = "nhwc"
        case (1, 3, height, width):
            layout = "nchw"
        case _:
            raise UserError(
                f"{own.file}: takes {shape}; allowed: (1, HEIGHT, WIDTH, 3) or (1, 3, HEIGHT, WIDTH)"
            )
    is_float = dtype == "float32"
    colour = own.colour or (convention.float_colour if is_float else "rgb")
    table = {
        "width_px": width,
        "height_px": height,
        "layout": layout,
        "colour": colour,
        "dtype": dtype,
        "resize": convention.resize,
        "mean": convention.mean if is_float else (0.0, 0.0, 0.0),
        "scale": convention.scale if is_float else (1.0, 1.0, 1.0),
    }
    return checked_convert.convert(table, ModelInput, str(own.file), "input")

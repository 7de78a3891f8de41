"""Model cards: a model's labels, input, thresholds, licence, provenance and hash.

A model is a `.tflite` file with a TOML card of the same name next to it: in the folder `models/`, or in any other
if it is named by the path of its card. A file whose hash differs from its card's is not loaded.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from agent.base import checked_convert
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.message import Message
from agent.base.model import LABELS, Label
from agent.base.sha256 import Sha256, sha256_hex
from agent.config import toml_decode
from agent.config.names import is_card_path

MAX_MODEL_BYTES = 268_435_456
MODELS_FOLDER = Path(__file__).parent / "models"
"""Folder of the models that come with the agent."""

DecoderName = Literal["ssd", "nanodet", "nanodet_plus", "yolox"]
Score = Annotated[float, msgspec.Meta(ge=0, le=1)]
Channels = tuple[float, float, float]


class ModelRefused(Exception):
    """A model's file is missing, or is not the one of its card. One line says which.

    The default model detects in its place, or none if that is refused.
    """


class ModelInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model's input: one picture of `width_px` x `height_px`.

    Values are 0..255 if `dtype` is `uint8`, else `(value - mean) / scale` per channel, in the order
    of `colour`. A picture of another shape is stretched, or keeps its shape at the top left (`letterbox`).
    """

    width_px: Annotated[int, msgspec.Meta(ge=32, le=2048, multiple_of=4)]
    height_px: Annotated[int, msgspec.Meta(ge=32, le=2048, multiple_of=4)]
    layout: Literal["nhwc", "nchw"]
    colour: Literal["rgb", "bgr"]
    dtype: Literal["uint8", "float32"]
    resize: Literal["stretch", "letterbox"] = "stretch"
    mean: Channels = (0.0, 0.0, 0.0)
    scale: Channels = (1.0, 1.0, 1.0)

    def fitted_size_px(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Return the even width and height that a picture of this size takes in the input."""
        if self.resize == "stretch":
            return self.width_px, self.height_px
        ratio = min(self.width_px / width_px, self.height_px / height_px)
        return max(2, round(width_px * ratio / 2) * 2), max(2, round(height_px * ratio / 2) * 2)


class LabelThresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Least scores of one label: to begin a track, to continue one, and to be listed alone.

    `show_still` is for a still picture, and for a detection where nothing moves.
    """

    start_track: Score
    keep_track: Score
    show_still: Score


class ModelProvenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The origin of the model and its conversion to this file."""

    weights: str
    package: str
    conversion: str
    trained_on: str


class ModelBenchmark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Measured average precision at an IoU of 0.5, and CPU time of one inference."""

    ap50_on: str
    ap50: dict[Label, float]
    inference_ms: float
    inference_on: str


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model. `labels` maps the project's labels to the model's class numbers, from zero.

    A detection below its label's `keep_track` is not decoded. `decoder` is one of
    `agent.detection.decoders`.
    """

    name: str
    title: str
    sha256: Sha256
    decoder: DecoderName
    licence: str
    attribution: str
    input: ModelInput
    labels: dict[Label, int]
    thresholds: dict[Label, LabelThresholds]
    provenance: ModelProvenance
    measured: ModelBenchmark
    notes: str = ""


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """A card, and the path of its model's file."""

    card: ModelCard
    path: Path


def list_model_names(folder: Path | None = None) -> tuple[str, ...]:
    """Return the names of the models in a folder, by default of the shipped ones, sorted."""
    return tuple(sorted(card.stem for card in (folder or MODELS_FOLDER).glob("*.toml")))


def find_model(model: str) -> ModelFile:
    """Return a shipped model by its name, or another one by the path of its card.

    Raises: UserError if there is no shipped model of that name; ModelRefused if the card is invalid or missing.
    """
    if not is_card_path(model):
        return ModelFile(card=load_card(model), path=MODELS_FOLDER / f"{model}.tflite")
    card_path = Path(model)
    if not card_path.is_file():
        raise ModelRefused(f"model {model!r}: no such card")
    card = load_card(card_path.stem, card_path.parent)
    return ModelFile(card=card, path=card_path.with_suffix(".tflite"))


def find_sha256(model: str) -> str | None:
    """Return the hash of a model by its card, or None if the card is refused."""
    try:
        return find_model(model).card.sha256
    except ModelRefused:
        return None


def load_card(name: str, folder: Path | None = None) -> ModelCard:
    """Read the card of a model, by default of a shipped one.

    Raises: UserError if there is no model of that name; ModelRefused if its card is invalid.
    """
    folder = folder or MODELS_FOLDER
    allowed = list_model_names(folder)
    if name not in allowed:
        raise UserError(
            Message(
                "{label}: unknown; allowed: {allowed}",
                label=f"model {name!r}",
                allowed=", ".join(allowed) or "none",
            )
        )
    path = folder / f"{name}.toml"
    try:
        card = checked_convert.convert(
            toml_decode.read_toml(path, "model card"), ModelCard, path.name
        )
    except UserError as error:
        raise ModelRefused(str(error)) from error
    if card.name != name:
        raise ModelRefused(f"{path.name}: name = {card.name!r}: is not the file's name")
    if problem := _find_problem(card):
        raise ModelRefused(f"{path.name}: {problem}")
    return card


def _find_problem(card: ModelCard) -> str | None:
    """Return what is wrong between the keys of a card, or None."""
    if len(set(card.labels.values())) < max(1, len(card.labels)):
        return "labels: allowed: one or more, each of its own class number"
    missing = [label for label in LABELS if label in card.labels and label not in card.thresholds]
    if missing:
        return f"thresholds: missing for {', '.join(missing)}"
    for label, thresholds in card.thresholds.items():
        if thresholds.keep_track > thresholds.start_track:
            return (
                f"thresholds.{label}.keep_track = {thresholds.keep_track}: "
                f"allowed: start_track = {thresholds.start_track} or less"
            )
    return None


def with_score_floor(card: ModelCard, min_score: float) -> ModelCard:
    """Return the card with one least score for all labels: average precision counts the low ones too."""
    return msgspec.structs.replace(
        card,
        thresholds={
            label: msgspec.structs.replace(thresholds, keep_track=min_score)
            for label, thresholds in card.thresholds.items()
        },
    )


def read_verified_model(card: ModelCard, folder: Path | None = None) -> bytes:
    """Read a model's file, by default of a shipped one, and compare its hash with the card's.

    Raises: ModelRefused if the file is missing, unreadable, or of another hash.
    """
    path = (folder or MODELS_FOLDER) / f"{card.name}.tflite"
    try:
        content = read_regular_file(path, MAX_MODEL_BYTES)
    except OSError as error:
        raise ModelRefused(
            f"model {card.name!r}: {path.name}: {error.strerror or error}"
        ) from error
    check_hash(card, content)
    return content


def check_hash(card: ModelCard, content: bytes) -> None:
    """Raise ModelRefused if the content of a model's file has not the hash of its card."""
    digest = sha256_hex(content)
    if digest != card.sha256:
        raise ModelRefused(
            f"model {card.name!r}: {card.name}.tflite has sha256 {digest[:12]}.., "
            f"its card says {card.sha256[:12]}..: not loaded"
        )

"""Cards of accelerators' models: labels, thresholds, and the file of upstream's package. The files are not shipped.

A card is a TOML file in the folder `accelerators/`. The configuration has the hash of the box's file: one of another
hash is not loaded.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from agent.base import checked_convert
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.message import Message
from agent.base.model import BoundingBox, Detection, Label
from agent.base.sha256 import sha256_hex
from agent.config import toml_decode
from agent.config.configuration import AcceleratorConfig
from agent.detection.model_card import MAX_MODEL_BYTES, LabelThresholds, Score
from drivers.errors import DriverError
from drivers.media import FoundObject

CARDS_FOLDER = Path(__file__).parent / "accelerators"

AcceleratorKind = Literal["imx500", "hailo"]


class AcceleratorInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The size of the pictures that a model takes."""

    width_px: Annotated[int, msgspec.Meta(ge=32, le=2048, multiple_of=2)]
    height_px: Annotated[int, msgspec.Meta(ge=32, le=2048, multiple_of=2)]


class UpstreamFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mean average precision on COCO that upstream states, and where."""

    map: Score
    source: str


class AcceleratorCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of an accelerator. `labels` maps the project's labels to the model's class numbers, from zero.

    `file` is installed by the Debian package `package` of Raspberry Pi. `sha256` is of the box's file, empty before it
    was read.
    """

    name: str
    title: str
    accelerator: AcceleratorKind
    file: str
    package: str
    licence: str
    input: AcceleratorInput
    labels: dict[Label, int]
    thresholds: dict[Label, LabelThresholds]
    upstream: UpstreamFigures
    notes: str = ""
    sha256: str = ""

    @property
    def min_score(self) -> float:
        """The least score that the tracker uses."""
        return min(threshold.keep_track for threshold in self.thresholds.values())


def list_card_names() -> tuple[str, ...]:
    """Return the names of the cards, sorted."""
    return tuple(sorted(path.stem for path in CARDS_FOLDER.glob("*.toml")))


def load_card(name: str) -> AcceleratorCard:
    """Read a card. Raises: UserError if there is none of that name."""
    allowed = list_card_names()
    if name not in allowed:
        raise UserError(
            Message(
                "{label}: unknown; allowed: {allowed}",
                label=f"accelerator's model {name!r}",
                allowed=", ".join(allowed),
            )
        )
    path = CARDS_FOLDER / f"{name}.toml"
    return checked_convert.convert(toml_decode.read_toml(path, "card"), AcceleratorCard, path.name)


def model_file(card: AcceleratorCard, config: AcceleratorConfig) -> Path:
    """Return the path of the model's file: the configuration's, or that of upstream's package."""
    return Path(config.file or card.file)


def read_digest(path: Path) -> str:
    """Return the SHA-256 of a model's file. Raises: OSError if it cannot be read or is too large."""
    return sha256_hex(read_regular_file(path, MAX_MODEL_BYTES))


def verify_file(card: AcceleratorCard, config: AcceleratorConfig) -> AcceleratorCard:
    """Read the model's file and return the card with its hash.

    Raises: DriverError absent (it cannot be read), unsupported (its hash is not the configured one).
    """
    path = model_file(card, config)
    try:
        digest = read_digest(path)
    except OSError as error:
        raise DriverError(
            "absent",
            f"{path}: {error.strerror or error}; the package {card.package} installs it",
        ) from error
    if digest != config.sha256:
        raise DriverError(
            "unsupported",
            f"{path} has sha256 {digest[:12]}.., the configuration says {config.sha256[:12]}..: not loaded",
        )
    return msgspec.structs.replace(card, sha256=digest)


def to_detections(objects: Sequence[FoundObject], card: AcceleratorCard) -> tuple[Detection, ...]:
    """Return the objects that are road users of the card and not below their label's least threshold."""
    label_by_class = {number: label for label, number in card.labels.items()}
    found: list[Detection] = []
    for one in objects:
        label = label_by_class.get(one.class_number)
        if label is not None and one.score >= card.thresholds[label].keep_track:
            box = BoundingBox(one.x, one.y, one.w, one.h)
            found.append(Detection(label=label, score=one.score, box=box))
    return tuple(found)

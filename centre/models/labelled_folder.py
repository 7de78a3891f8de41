"""A folder of labelled pictures: one JSON file in COCO's form, and the pictures next to it or in `images/`."""

from pathlib import Path
from typing import Annotated

import msgspec

from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.model import LABELS, BoundingBox, Detection, Label
from centre.models.average_precision import PictureDetection, average_precision

MAX_LABELS_BYTES = 268_435_456
MAX_PICTURES = 20_000
_Side = Annotated[int, msgspec.Meta(ge=1, le=65_536)]
BoxesByPicture = dict[int, list[BoundingBox]]


class _Picture(msgspec.Struct, frozen=True):
    id: int
    file_name: Annotated[str, msgspec.Meta(pattern=r"^[^/\x00]{1,200}$(?!\n)")]
    width: _Side
    height: _Side


class _Annotation(msgspec.Struct, frozen=True):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0


class _Category(msgspec.Struct, frozen=True):
    id: int
    name: str


class _Document(msgspec.Struct, frozen=True):
    images: Annotated[tuple[_Picture, ...], msgspec.Meta(min_length=1, max_length=MAX_PICTURES)]
    annotations: tuple[_Annotation, ...]
    categories: tuple[_Category, ...]


_DECODER = JsonDecoder(_Document)


class LabelledPicture(msgspec.Struct, frozen=True, kw_only=True):
    """One picture, its file and its size in pixels."""

    id: int
    path: Path
    width_px: int
    height_px: int


class LabelledFolder(msgspec.Struct, frozen=True, kw_only=True):
    """The pictures, and by label the boxes in each, in pixels. `crowds` are regions with more than can be counted."""

    name: str
    pictures: tuple[LabelledPicture, ...]
    truth: dict[Label, BoxesByPicture]
    crowds: dict[Label, BoxesByPicture]

    def measure(self, found: dict[int, tuple[Detection, ...]]) -> dict[Label, float]:
        """Return the AP50 of each label that the folder has, of detections by picture."""
        by_label: dict[Label, list[PictureDetection]] = {label: [] for label in LABELS}
        ids = {picture.id for picture in self.pictures}
        for picture in self.pictures:
            for one in found.get(picture.id, ()):
                box = BoundingBox(
                    one.box.x * picture.width_px,
                    one.box.y * picture.height_px,
                    one.box.w * picture.width_px,
                    one.box.h * picture.height_px,
                )
                by_label[one.label].append(PictureDetection(picture.id, one.score, box))
        truth = {label: _of_pictures(self.truth[label], ids) for label in LABELS}
        return {
            label: average_precision(by_label[label], truth[label], self.crowds[label])
            for label in LABELS
            if truth[label]
        }


def _of_pictures(boxes: BoxesByPicture, ids: set[int]) -> BoxesByPicture:
    return {picture: of_picture for picture, of_picture in boxes.items() if picture in ids}


def read_labelled_folder(folder: Path) -> LabelledFolder:
    """Read the labels; other categories than road users are left out.

    Raises: UserError if there is not one JSON file, it is not in COCO's form, or no road user is labelled.
    """
    files = sorted(folder.glob("*.json"))
    if len(files) != 1:
        raise UserError(
            f"{folder}: {len(files)} files *.json; allowed: one, with labels in COCO's form"
        )
    try:
        document = _DECODER.decode(read_regular_file(files[0], MAX_LABELS_BYTES))
    except OSError as error:
        raise UserError(f"{files[0]}: {error.strerror or error}") from error
    except MalformedJson as error:
        raise UserError(f"{files[0]}: not labels in COCO's form: {error}") from error
    images = folder / "images"
    picture_folder = images if images.is_dir() else folder
    labels: dict[int, Label] = {
        category.id: label
        for category in document.categories
        for label in LABELS
        if category.name == label
    }
    truth: dict[Label, BoxesByPicture] = {label: {} for label in LABELS}
    crowds: dict[Label, BoxesByPicture] = {label: {} for label in LABELS}
    for annotation in document.annotations:
        if annotation.category_id in labels:
            target = (crowds if annotation.iscrowd else truth)[labels[annotation.category_id]]
            target.setdefault(annotation.image_id, []).append(BoundingBox(*annotation.bbox))
    if not any(truth.values()):
        raise UserError(f"{files[0]}: labels no road user; allowed: {', '.join(LABELS)}")
    return LabelledFolder(
        name=folder.resolve().name,
        pictures=tuple(
            LabelledPicture(
                id=picture.id,
                path=picture_folder / picture.file_name,
                width_px=picture.width,
                height_px=picture.height,
            )
            for picture in document.images
        ),
        truth=truth,
        crowds=crowds,
    )

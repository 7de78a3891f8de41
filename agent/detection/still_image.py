"""Detection in one image file."""

from pathlib import Path

import cv2
import msgspec
import numpy as np

from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.model import Detection
from agent.detection.geometry import round_box
from agent.detection.image import Rgb
from agent.detection.nms import merge_detections
from agent.detection.tflite import TfliteDetector


class StillResult(msgspec.Struct, frozen=True, kw_only=True):
    """The detections in an image file, best score first. `path` is as it was given."""

    path: str
    width_px: int
    height_px: int
    detections: tuple[Detection, ...]


MAX_FILE_BYTES = 134_217_728
"""A PNG of 8192 x 4320 without any compression takes 106 MB."""


def read_image(path: Path) -> Rgb:
    """Read an image file as H x W x 3, turned as its EXIF orientation says.

    Raises: UserError if it is missing, unreadable or not an image.
    """
    return decode_image(read_image_file(path), path)


def read_image_file(path: Path) -> bytes:
    """Read the bytes of an image file. Raises: UserError if it is missing, unreadable or too large."""
    try:
        return read_regular_file(path, MAX_FILE_BYTES)
    except OSError as error:
        raise UserError(f"image {str(path)!r}: {error.strerror or error}") from error


def decode_image(content: bytes, path: Path) -> Rgb:
    """Decode an image as `read_image` does; `path` is for the messages. Raises: UserError."""
    try:
        flat = np.frombuffer(content, np.uint8)
        decoded = cv2.imdecode(flat, cv2.IMREAD_COLOR_RGB) if content else None
    except cv2.error as error:
        raise UserError(f"image {str(path)!r}: not readable: {error.err}") from error
    if decoded is None:
        raise UserError(f"image {str(path)!r}: not a whole picture; allowed: JPEG, PNG, WebP")
    return np.asarray(decoded, np.uint8)


def detect_in_file(path: Path, detector: TfliteDetector) -> StillResult:
    """Detect in an image as a whole. Raises: UserError as `read_image`."""
    rgb = read_image(path)
    detections = [
        msgspec.structs.replace(
            detection, score=round(detection.score, 4), box=round_box(detection.box)
        )
        for detection in merge_detections(detector.detect(rgb))
        if detection.score >= detector.card.thresholds[detection.label].show_still
    ]
    return StillResult(
        path=str(path),
        width_px=rgb.shape[1],
        height_px=rgb.shape[0],
        detections=tuple(sorted(detections, key=lambda detection: -detection.score)),
    )

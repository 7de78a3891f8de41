"""JPEG pictures within a limit of bytes: the quality falls first, then the size."""

import math

import cv2
import numpy as np
import numpy.typing as npt

_QUALITIES = (85, 75, 65, 55, 45, 35)
_SHRINK_FACTOR = 0.75
_MIDDLE_MEAN, _MIN_GAMMA = 110.0, 0.25
"""Grey levels; a lower gamma shows little else than noise."""
_GREY = 128.0
_MIN_WIDTH_PX = 64
"""Nothing smaller shows anything."""


def encode_jpeg(image: npt.NDArray[np.uint8], max_bytes: int) -> bytes:
    """Encode an image, H x W x 3, BGR, or H x W, grey. The JPEG is larger than `max_bytes` only if the smallest one is."""
    while True:
        for quality in _QUALITIES:
            encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            jpeg = encoded.tobytes()
            if len(jpeg) <= max_bytes:
                return jpeg
        if image.shape[1] * _SHRINK_FACTOR < _MIN_WIDTH_PX:
            return jpeg
        size = (
            round(image.shape[1] * _SHRINK_FACTOR),
            max(1, round(image.shape[0] * _SHRINK_FACTOR)),
        )
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def shrink_jpeg(jpeg: bytes, max_bytes: int) -> bytes | None:
    """Encode a JPEG again within a limit; None if that cannot be, or if it is no picture."""
    try:
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    if image is None:
        return None
    shrunk = encode_jpeg(np.asarray(image, np.uint8), max_bytes)
    return shrunk if len(shrunk) <= max_bytes else None


def measure_colour(jpeg: bytes) -> float:
    """Return the mean distance of a JPEG of our own from grey, 0 to about 180."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return 0.0
    chroma = cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb)[:, :, 1:].astype(np.float32) - _GREY
    return float(np.hypot(chroma[:, :, 0], chroma[:, :, 1]).mean())


def brighten_jpeg(jpeg: bytes, max_bytes: int) -> bytes:
    """Raise the dark parts of a JPEG of our own to a middle mean, by its gamma; a bright one stays as it is."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    mean = 0.0 if image is None else float(image.mean())
    if image is None or not 0 < mean < _MIDDLE_MEAN:
        return jpeg
    gamma = max(_MIN_GAMMA, math.log(_MIDDLE_MEAN / 255) / math.log(mean / 255))
    table = (255 * (np.arange(256) / 255) ** gamma).round().astype(np.uint8)
    return encode_jpeg(np.asarray(cv2.LUT(image, table), np.uint8), max_bytes)

"""The child that runs a model on a Hailo: `python -P -m drivers.child.main drivers.hailo.child ...`."""

import hashlib
import importlib
import mmap
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np

from drivers.child import messages as child_messages
from drivers.child.main import ChildEnd
from drivers.child.requests import answer, read_requests
from drivers.errors import DriverError
from drivers.found_objects import to_objects
from drivers.hailo import messages
from drivers.media import FoundObject

BOX_VALUES = 5
"""HailoRT's suppression returns for each class rows of y0, x0, y1, x1 and the score."""

_decoder: msgspec.msgpack.Decoder[messages.Operation] = msgspec.msgpack.Decoder(messages.Operation)


def run(end: ChildEnd) -> None:
    """Infer on request until the parent's end is closed. Raises: DriverError."""
    settings = child_messages.from_raw(end.settings, messages.ModelSettings)
    (memory_fd,) = end.memory_fds
    model = _load(settings, end.display_name)
    height_px, width_px, channels = (int(side) for side in model.get_input_shape())
    if channels != 3:  # noqa: PLR2004 - red, green and blue
        raise DriverError(
            "unsupported", f"{end.display_name}: it takes {channels} channels; allowed: 3"
        )
    loaded = messages.Loaded(width_px=width_px, height_px=height_px)
    size = messages.input_bytes(loaded)
    os.ftruncate(memory_fd, size)
    picture = np.frombuffer(mmap.mmap(memory_fd, size), np.uint8).reshape(height_px, width_px, 3)

    def execute(operation: messages.Operation) -> messages.Loaded | tuple[FoundObject, ...]:
        if isinstance(operation, messages.Load):
            return loaded
        return parse_output(model.run(picture.copy()), settings, end.display_name)

    for number, operation in read_requests(end, _decoder):
        answer(end, number, partial(execute, operation))


def _load(settings: messages.ModelSettings, display_name: str) -> Any:
    """Load the model into the device if it has its hash. Raises: DriverError absent, unsupported."""
    try:
        module = importlib.import_module("picamera2.devices.hailo")
        platform = importlib.import_module("hailo_platform")
    except ImportError as error:
        raise DriverError(
            "absent", f"{display_name}: needs HailoRT and Picamera2 (hailo-all): {error}"
        ) from error
    try:
        _check_hash(settings, display_name)
        return module.Hailo(settings.file)
    except (platform.HailoRTException, RuntimeError, OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DriverError("absent", f"{display_name}: {reason}") from error


def _check_hash(settings: messages.ModelSettings, display_name: str) -> None:
    """A package may have replaced the file since the agent has started. Raises: OSError, DriverError unsupported."""
    with open(settings.file, "rb") as file:  # noqa: PTH123 - as a path of the message
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != settings.sha256:
        raise DriverError(
            "unsupported",
            f"{display_name}: has sha256 {digest[:12]}.., the configuration says {settings.sha256[:12]}..: not loaded",
        )


def parse_output(
    output: object, settings: messages.ModelSettings, display_name: str
) -> tuple[FoundObject, ...]:
    """Return the objects of HailoRT's suppression by class, best first. Pure.

    Raises: DriverError `unsupported` if the model ends in other tensors.
    """
    if not isinstance(output, Sequence) or len(output) <= max(settings.class_numbers):
        raise DriverError(
            "unsupported",
            f"{display_name}: its output is not HailoRT's suppression by class (HAILO_NMS_BY_CLASS)",
        )
    rows_by_class = [
        np.asarray(output[number], np.float64).reshape(-1, BOX_VALUES)
        for number in settings.class_numbers
    ]
    counts = [len(rows) for rows in rows_by_class]
    rows = np.concatenate(rows_by_class)
    return to_objects(
        rows[:, :4],
        rows[:, 4],
        np.repeat(settings.class_numbers, counts),
        settings.class_numbers,
        settings.min_score,
    )

"""The detector's runtime: LiteRT, or tflite-runtime on a board that has only that.

On x86 LiteRT runs the quantised default model about seven times faster than tflite-runtime 2.14,
which has no fast kernels for it. Both release the interpreter lock while they run. More than one
thread costs more CPU for the same picture, so there is one.
"""

import os
import threading
import time
from collections.abc import Sequence
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.model import BoundingBox, Detection
from agent.detection.decoders import make_decoder
from agent.detection.detector import SearchedRegion
from agent.detection.image import Region, Rgb, crop_rgb
from agent.detection.interpreter_pool import InterpreterPool
from agent.detection.model_card import ModelCard, ModelRefused, find_model, read_verified_model
from drivers.media import Frame

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:  # pragma: no cover - the older name of the same thing, for Python 3.11
    from tflite_runtime.interpreter import Interpreter

_LETTERBOX_VALUE = 114
"""Grey to the right of and below a letterboxed picture, as in YOLOX's training."""


class TfliteDetector:
    """A model for one camera. Not thread-safe; its interpreters may be shared with other detectors of the model.

    `cpu_ns` is the thread's CPU time over all inferences, resizing and decoding included.
    """

    def __init__(self, card: ModelCard, model: bytes | InterpreterPool) -> None:
        """`model` is its file, for an interpreter of its own, or the interpreters to share."""
        self.card = card
        self.inference_count = 0
        self.cpu_ns = 0
        self.interpreters = (
            InterpreterPool(lambda: open_interpreter(card.name, model))
            if isinstance(model, bytes)
            else model
        )
        with self.interpreters.borrowed() as interpreter:
            input_details = interpreter.get_input_details()[0]
            output_details = interpreter.get_output_details()
        self._input_index: int = input_details["index"]
        # By index, which is the order of an operation's outputs; the order of the file's outputs is any.
        outputs = sorted(output_details, key=lambda detail: detail["index"])
        self._output_indices: list[int] = [detail["index"] for detail in outputs]
        if any(detail["dtype"] is not np.float32 for detail in outputs):
            types = ", ".join(np.dtype(detail["dtype"]).name for detail in outputs)
            raise ModelRefused(f"model {card.name!r}: its outputs are {types}; allowed: float32")
        shapes = [tuple(detail["shape"].tolist()) for detail in outputs]
        self._decode = make_decoder(card, shapes)
        size = (card.input.height_px, card.input.width_px)
        shape = (1, *size, 3) if card.input.layout == "nhwc" else (1, 3, *size)
        if (
            tuple(input_details["shape"]) != shape
            or np.dtype(card.input.dtype) != input_details["dtype"]
        ):
            raise ModelRefused(
                f"model {card.name!r}: it takes {tuple(input_details['shape'])} of "
                f"{np.dtype(input_details['dtype']).name}, its card says {shape} of {card.input.dtype}"
            )
        pixel_values = np.arange(256, dtype=np.float32)
        self._lookup_tables = [
            (pixel_values - np.float32(mean)) / np.float32(scale)
            for mean, scale in zip(card.input.mean, card.input.scale, strict=True)
        ]
        # Written again for each picture: fresh memory of this size costs as much as the lookup.
        self._planar_floats = np.empty((3, *size), np.float32)

    @property
    def input_size_px(self) -> tuple[int, int]:
        """Width and height of the model's input."""
        return self.card.input.width_px, self.card.input.height_px

    def input_width_px(self, frame_width_px: int) -> int:
        """Return the width of the model's input."""
        return self.card.input.width_px

    def search(self, frame: Frame, regions: Sequence[Region]) -> tuple[SearchedRegion, ...]:
        """Search the regions of a frame."""
        pictures = [
            crop_rgb(frame, region, self.card.input.fitted_size_px(region.w, region.h))
            for region in regions
        ]
        return tuple(map(SearchedRegion, regions, self._detect_all(pictures)))

    def detect(self, rgb: Rgb) -> tuple[Detection, ...]:
        """Return the detections in a picture of any size, in 0..1 of it.

        One object may have two labels; `agent.detection.nms` merges them.
        """
        return self._detect_all([rgb])[0]

    def _detect_all(self, pictures: Sequence[Rgb]) -> list[tuple[Detection, ...]]:
        """Return the detections of each picture.

        All are decoded after the last inference: each one evicts Python and numpy from the processor's cache, and
        decoding takes three times as long after that.
        """
        start_cpu_ns = time.thread_time_ns()
        inferred = [self._infer(rgb) for rgb in pictures]
        found = [
            self._decode(tensors)
            if fitted_size == self.input_size_px
            else _without_border(self._decode(tensors), self.input_size_px, fitted_size)
            for tensors, fitted_size in inferred
        ]
        self.inference_count += len(pictures)
        self.cpu_ns += time.thread_time_ns() - start_cpu_ns
        return found

    def _infer(self, rgb: Rgb) -> tuple[list[npt.NDArray[Any]], tuple[int, int]]:
        """Return the model's outputs for a picture, and the size of the picture in its input."""
        fitted_size = self.card.input.fitted_size_px(rgb.shape[1], rgb.shape[0])
        picture = self._preprocess(rgb, fitted_size)
        with self.interpreters.borrowed() as interpreter:
            interpreter.set_tensor(self._input_index, picture)
            interpreter.invoke()
            return [interpreter.get_tensor(i) for i in self._output_indices], fitted_size

    def _preprocess(self, rgb: Rgb, fitted_size: tuple[int, int]) -> npt.NDArray[Any]:
        if (rgb.shape[1], rgb.shape[0]) != fitted_size:
            rgb = np.asarray(cv2.resize(rgb, fitted_size, interpolation=cv2.INTER_LINEAR), np.uint8)
        if fitted_size != self.input_size_px:
            width, height = self.input_size_px
            padded = np.full((height, width, 3), _LETTERBOX_VALUE, np.uint8)
            padded[: rgb.shape[0], : rgb.shape[1]] = rgb
            rgb = padded
        is_planar = self.card.input.layout == "nchw"
        if self.card.input.colour == "bgr":
            rgb = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)
        if self.card.input.dtype == "uint8":
            return np.ascontiguousarray(rgb.transpose(2, 0, 1) if is_planar else rgb)[np.newaxis]
        # A lookup costs a fifth of the calculation.
        if is_planar:
            for channel, table, target in zip(
                cv2.split(rgb), self._lookup_tables, self._planar_floats, strict=True
            ):
                cv2.LUT(channel, table, target)
            return self._planar_floats[np.newaxis]
        table = np.stack(self._lookup_tables, axis=1)[np.newaxis]
        return np.asarray(cv2.LUT(rgb, table), np.float32)[np.newaxis]


def _without_border(
    found: Sequence[Detection], input_size: tuple[int, int], fitted_size: tuple[int, int]
) -> tuple[Detection, ...]:
    """Return detections in a letterboxed input as detections in its picture, clipped to it."""
    x_ratio, y_ratio = input_size[0] / fitted_size[0], input_size[1] / fitted_size[1]
    clipped = []
    for detection in found:
        box = detection.box
        left, top = box.x * x_ratio, box.y * y_ratio
        right, bottom = min(1.0, left + box.w * x_ratio), min(1.0, top + box.h * y_ratio)
        if right > left and bottom > top:
            clipped.append(
                msgspec.structs.replace(
                    detection, box=BoundingBox(left, top, right - left, bottom - top)
                )
            )
    return tuple(clipped)


def open_interpreter(name: str, content: bytes) -> Any:
    """Return the runtime with a model. Raises: ModelRefused if it refuses the file; `name` is for the message."""
    try:
        interpreter: Any = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise ModelRefused(f"model {name!r}: the runtime refuses it: {reason}") from error
    return interpreter


def open_detector(model: str) -> TfliteDetector:
    """Load a shipped model by its name, or another one by the path of its card.

    Raises: UserError if the name is unknown; ModelRefused if the model does not match or does not run.
    """
    found = find_model(model)
    return TfliteDetector(found.card, read_verified_model(found.card, found.path.parent))


class SharedModels:
    """Opens the detectors of cameras: those of one model share its interpreters. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[str, InterpreterPool] = {}

    def open_detector(self, model: str) -> TfliteDetector:
        """Open a detector of a shipped model by its name, or of another one by the path of its card.

        Raises: UserError if the name is unknown; ModelRefused if the model does not match or does not run.
        """
        found = find_model(model)
        card = found.card
        with self._lock:
            pool = self._pools.get(card.sha256)
            if pool is None:
                content = read_verified_model(card, found.path.parent)
                pool = self._pools[card.sha256] = InterpreterPool(
                    lambda: open_interpreter(card.name, content), len(os.sched_getaffinity(0))
                )
        return TfliteDetector(card, pool)

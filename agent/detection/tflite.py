"""The detector's runtime: LiteRT, or tflite-runtime on a board that has only that.

On x86 LiteRT runs the quantised default model about eleven times faster than tflite-runtime 2.14,
which has no fast kernels for it. Both release the interpreter lock while they run. More than one
thread costs more CPU for the same picture, so there is one.
"""

import time
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from agent.base.model import Detection
from agent.detection.decoders import DECODERS
from agent.detection.detector import SearchedRegion
from agent.detection.image import Region, Rgb, crop_rgb
from agent.detection.model_card import ModelCard, ModelRefused, load_card, read_verified_model
from drivers.media import Frame

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:  # pragma: no cover - the older name of the same thing, for Python 3.11
    from tflite_runtime.interpreter import Interpreter


class TfliteDetector:
    """One loaded model. Not thread-safe.

    `cpu_ns` is the thread's CPU time over all inferences, resizing and decoding included.
    """

    def __init__(self, card: ModelCard, content: bytes) -> None:
        self.card = card
        self.inference_count = 0
        self.cpu_ns = 0
        try:
            self._interpreter: Any = Interpreter(model_content=content, num_threads=1)
            self._interpreter.allocate_tensors()
            input_details = self._interpreter.get_input_details()[0]
        except (ValueError, RuntimeError) as error:
            reason = (str(error).splitlines() or ["no reason given"])[0]
            raise ModelRefused(f"model {card.name!r}: the runtime refuses it: {reason}") from error
        self._input_index: int = input_details["index"]
        # By name: the order in the file is not guaranteed.
        outputs = sorted(self._interpreter.get_output_details(), key=lambda detail: detail["name"])
        self._output_indices: list[int] = [detail["index"] for detail in outputs]
        self._decode = DECODERS[card.decoder]
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

    @property
    def input_size_px(self) -> tuple[int, int]:
        """Width and height of the model's input."""
        return self.card.input.width_px, self.card.input.height_px

    def search(self, frame: Frame, regions: Sequence[Region]) -> tuple[SearchedRegion, ...]:
        """Search the regions of a frame."""
        return tuple(
            SearchedRegion(region, self.detect(crop_rgb(frame, region, self.input_size_px)))
            for region in regions
        )

    def detect(self, rgb: Rgb) -> tuple[Detection, ...]:
        """Return the detections in a picture of any size, in 0..1 of it.

        One object may have two labels; `agent.detection.nms` merges them.
        """
        start_cpu_ns = time.thread_time_ns()
        self._interpreter.set_tensor(self._input_index, self._preprocess(rgb))
        self._interpreter.invoke()
        tensors = [self._interpreter.get_tensor(index) for index in self._output_indices]
        found = self._decode(tensors, self.card)
        self.inference_count += 1
        self.cpu_ns += time.thread_time_ns() - start_cpu_ns
        return found

    def _preprocess(self, rgb: Rgb) -> npt.NDArray[Any]:
        if (rgb.shape[1], rgb.shape[0]) != self.input_size_px:
            rgb = np.asarray(
                cv2.resize(rgb, self.input_size_px, interpolation=cv2.INTER_LINEAR), np.uint8
            )
        if self.card.input.dtype == "uint8":
            picture: npt.NDArray[Any] = rgb if self.card.input.colour == "rgb" else rgb[:, :, ::-1]
            planar = picture.transpose(2, 0, 1) if self.card.input.layout == "nchw" else picture
            return np.ascontiguousarray(planar)[np.newaxis]
        # A table for each channel: a lookup costs a fifth of the calculation.
        channels = cv2.split(rgb if self.card.input.colour == "rgb" else rgb[:, :, ::-1])
        floats = [
            cv2.LUT(channel, table)
            for channel, table in zip(channels, self._lookup_tables, strict=True)
        ]
        axis = 0 if self.card.input.layout == "nchw" else 2
        return np.stack(floats, axis=axis)[np.newaxis]


def open_detector(name: str) -> TfliteDetector:
    """Load a model by its name.

    Raises: UserError if the name is unknown; ModelRefused if the model does not match or does not run.
    """
    card = load_card(name)
    return TfliteDetector(card, read_verified_model(card))

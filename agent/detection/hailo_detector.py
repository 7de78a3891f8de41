"""Detector on a Hailo: the regions of masked frames are its pictures, as those of LiteRT."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.detection.accelerator_card import AcceleratorCard, to_detections
from agent.detection.detector import SearchedRegion
from agent.detection.image import Region, crop_rgb
from drivers.errors import DriverError
from drivers.hailo.accelerator import HailoModel
from drivers.media import Frame


class HailoPool:
    """The box's Hailo, which its cameras share: one process loads a model once. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: dict[str, tuple[HailoModel, int]] = {}
        """By the hash of the file: the model and the number of its users."""

    def acquire(self, file: Path, card: AcceleratorCard, clock_ns: Callable[[], int]) -> HailoModel:
        """Return the model of a file, for one more user. The card has the file's hash."""
        with self._lock:
            found = self._models.get(card.sha256)
            model, users = found or (_make_model(file, card, clock_ns), 0)
            self._models[card.sha256] = (model, users + 1)
            return model

    def release(self, sha256: str) -> None:
        """Close the model with its last user."""
        with self._lock:
            model, users = self._models.pop(sha256)
            if users > 1:
                self._models[sha256] = (model, users - 1)
                return
        model.close()


def _make_model(file: Path, card: AcceleratorCard, clock_ns: Callable[[], int]) -> HailoModel:
    return HailoModel(file, card.sha256, tuple(card.labels.values()), card.min_score, clock_ns)


class HailoDetector:
    """One camera's use of a model. `cpu_ns` is without the time of the Hailo and of its process."""

    def __init__(self, card: AcceleratorCard, model: HailoModel) -> None:
        self.card = card
        self.inference_count = 0
        self.cpu_ns = 0
        self._model = model

    def input_width_px(self, frame_width_px: int) -> int:
        """Return the width of the model's input."""
        return self.card.input.width_px

    def search(self, frame: Frame, regions: Sequence[Region]) -> tuple[SearchedRegion, ...]:
        """Search the regions of a frame. Raises: DriverError, `busy` while the model is loaded."""
        start_cpu_ns = time.thread_time_ns()
        size_px = self._model.input_size_px()
        if size_px != (self.card.input.width_px, self.card.input.height_px):
            raise DriverError(
                "unsupported",
                f"model {self.card.name!r}: it takes {size_px[0]}x{size_px[1]}, its card says "
                f"{self.card.input.width_px}x{self.card.input.height_px}",
            )
        searched = [self._search_region(frame, region, size_px) for region in regions]
        self.cpu_ns += time.thread_time_ns() - start_cpu_ns
        return tuple(searched)

    def _search_region(
        self, frame: Frame, region: Region, size_px: tuple[int, int]
    ) -> SearchedRegion:
        objects = self._model.infer(crop_rgb(frame, region, size_px))
        self.inference_count += 1
        return SearchedRegion(region, to_detections(objects, self.card))

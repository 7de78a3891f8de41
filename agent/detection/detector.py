"""The contract of detectors: LiteRT, and accelerators. `tests/contracts/test_detector.py` tests every one by it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from agent.base.model import Detection, Label
from agent.detection.image import Region
from agent.detection.model_card import LabelThresholds
from drivers.media import Frame


class InputSize(Protocol):
    """The size of the pictures that a model takes."""

    @property
    def width_px(self) -> int:
        """Width in pixels."""
        ...

    @property
    def height_px(self) -> int:
        """Height in pixels."""
        ...


class DetectorCard(Protocol):
    """The part of a model's card that detection and receipts need."""

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    @property
    def sha256(self) -> str:
        """The hash of the model's file."""
        ...

    @property
    def input(self) -> InputSize:
        """The model's input."""
        ...

    @property
    def thresholds(self) -> Mapping[Label, LabelThresholds]:
        """The thresholds of each label that the model detects."""
        ...


class SearchedRegion(msgspec.Struct, frozen=True):
    """A region that was searched, and the detections in it, in 0..1 of the region."""

    region: Region
    detections: tuple[Detection, ...]


class Detector(Protocol):
    """Finds road users in regions of a frame. Used by one thread.

    `inference_count` and `cpu_ns` (the thread's CPU time over all inferences, resizing and decoding included) only
    grow. `card` is of the model of the last search, or of the next one before the first.
    """

    @property
    def card(self) -> DetectorCard:
        """The model's card."""
        ...

    @property
    def inference_count(self) -> int:
        """The number of inferences so far."""
        ...

    @property
    def cpu_ns(self) -> int:
        """The CPU time so far."""
        ...

    def input_width_px(self, frame_width_px: int) -> int:
        """Return the width of the model's input, in pixels of a frame of this width."""
        ...

    def search(self, frame: Frame, regions: Sequence[Region]) -> tuple[SearchedRegion, ...]:
        """Search a frame and return what was searched.

        A detector that takes pictures searches `regions`. One in the camera's sensor has searched already, where
        earlier calls wanted it: it returns that instead, also without any region. Scores are not below the least
        threshold of their label, boxes are within the region. Raises: DriverError if an accelerator has failed.
        """
        ...

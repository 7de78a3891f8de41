"""The child that loads a foreign model: the runtime reads its file here, with no more rights than that takes.

A model's file is a program for the runtime, whose reader is written in C++. A file that crashes it, loops or takes all
memory ends this process alone.
"""

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias

import cv2
import msgspec
import numpy as np

from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.message import Message
from agent.base.model import Detection
from agent.config.names import refuse_identifying
from agent.detection.class_names import MAX_NAME_CHARS, MAX_NAMES, read_class_names
from agent.detection.model_card import (
    MAX_MODEL_BYTES,
    ModelCard,
    ModelRefused,
    check_hash,
    with_score_floor,
)
from agent.detection.still_image import read_image
from agent.detection.tflite import TfliteDetector, open_interpreter
from drivers.child import messages
from drivers.child.confinement import Confinement, confine
from drivers.child.main import ChildEnd
from drivers.child.requests import answer, read_requests
from drivers.errors import DriverError

MAX_MEMORY_BYTES = 1_073_741_824
PROCESSOR_PATHS = ("/proc/cpuinfo", "/sys/devices/system/cpu")
"""The runtime selects its kernels by them: without them it takes slow ones."""
MAX_TENSORS = 64
AP_SCORE_FLOOR = 0.05
"""Average precision is measured over all scores down to this one, not down to the thresholds of the card."""

_ClassName = Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]


class ModelChildSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`readable` are the files and folders of the requests to come; `cpu_s` is for all of them together."""

    readable: tuple[str, ...]
    cpu_s: int


class Inspect(msgspec.Struct, frozen=True, kw_only=True, tag="inspect"):
    """Report the tensors of a file: its ModelFacts."""

    path: str


class Load(msgspec.Struct, frozen=True, kw_only=True, tag="load"):
    """Load a file by its card, after the models that are loaded already. Its outputs have to be those of its decoder."""

    card: ModelCard
    path: str


class Detect(msgspec.Struct, frozen=True, kw_only=True, tag="detect"):
    """Run all loaded models on a picture: a tuple of ModelPass, in the order of loading."""

    picture: str


class TensorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Shape and type of an input or output. `dtype` is numpy's name."""

    shape: Annotated[tuple[int, ...], msgspec.Meta(max_length=8)]
    dtype: Annotated[str, msgspec.Meta(max_length=32)]


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts that a file itself states. `class_names` are those of TensorFlow Lite's metadata, mostly none."""

    inputs: Annotated[tuple[TensorFacts, ...], msgspec.Meta(max_length=MAX_TENSORS)]
    outputs: Annotated[tuple[TensorFacts, ...], msgspec.Meta(max_length=MAX_TENSORS)]
    class_names: Annotated[tuple[_ClassName, ...], msgspec.Meta(max_length=MAX_NAMES)]


class ModelPass(msgspec.Struct, frozen=True, kw_only=True):
    """One model on one picture.

    `detections` go down to AP_SCORE_FLOOR. `cpu_ns` is of a pass with the thresholds of the card: resizing, inference and
    decoding.
    """

    detections: tuple[Detection, ...]
    cpu_ns: Annotated[int, msgspec.Meta(ge=0)]


_Operation: TypeAlias = Inspect | Load | Detect
_decoder: msgspec.msgpack.Decoder[_Operation] = msgspec.msgpack.Decoder(_Operation)


def run(end: ChildEnd) -> None:
    """Answer requests until the parent's end is closed."""
    settings = messages.from_raw(end.settings, ModelChildSettings)
    cv2.setNumThreads(1)
    silence_runtime()
    confine(
        Confinement(
            memory_bytes=MAX_MEMORY_BYTES,
            readable_files=(*PROCESSOR_PATHS, *settings.readable),
            cpu_s=settings.cpu_s,
        ),
        end,
    )
    loaded: list[_LoadedModel] = []
    for number, operation in read_requests(end, _decoder):
        answer(end, number, partial(_execute, operation, loaded))


def silence_runtime() -> None:
    """Drop what the runtime writes to standard error at each load; its errors are exceptions too."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stderr.fileno())
    os.close(null)


class _LoadedModel:
    """A model twice: with the thresholds of its card, and with the floor of average precision."""

    def __init__(self, card: ModelCard, content: bytes) -> None:
        """Raises: UserError if the model has a class that identifies people; ModelRefused, also if its hash is another than the
        card's, or a pass fails.
        """
        check_hash(card, content)
        refuse_identifying(f"model {card.name!r}: its class", read_class_names(card.name, content))
        self._detector = TfliteDetector(card, content)
        self._scorer = TfliteDetector(with_score_floor(card, AP_SCORE_FLOOR), content)
        # Here and not first in the agent: a pass runs the operations that the file names.
        grey = np.full((card.input.height_px, card.input.width_px, 3), 114, np.uint8)
        try:
            self._detector.detect(grey)
        except (RuntimeError, ValueError) as error:
            reason = (str(error).splitlines() or ["no reason given"])[0]
            raise ModelRefused(f"model {card.name!r}: a pass fails: {reason}") from error

    def run(self, picture: str) -> ModelPass:
        """Raises: UserError if the picture cannot be read."""
        rgb = read_image(Path(picture))
        start_ns = time.thread_time_ns()
        self._detector.detect(rgb)
        cpu_ns = time.thread_time_ns() - start_ns
        return ModelPass(detections=self._scorer.detect(rgb), cpu_ns=cpu_ns)


def _execute(operation: _Operation, loaded: list[_LoadedModel]) -> object:
    """Raises: DriverError."""
    try:
        match operation:
            case Inspect(path=path):
                return _inspect(Path(path).name, _read(path))
            case Load(card=card, path=path):
                loaded.append(_LoadedModel(card, _read(path)))
                return None
            case Detect(picture=picture):
                return tuple(model.run(picture) for model in loaded)
    except (ModelRefused, UserError) as error:
        raise DriverError("unsupported", str(error)) from error


def _read(path: str) -> bytes:
    """Raises: UserError."""
    try:
        return read_regular_file(Path(path), MAX_MODEL_BYTES)
    except OSError as error:
        raise UserError(
            Message("{label}: {problem}", label=str(path), problem=error.strerror or str(error))
        ) from error


def _inspect(name: str, content: bytes) -> ModelFacts:
    """Raises: ModelRefused if the runtime cannot read the model."""
    interpreter = open_interpreter(name, content)
    return ModelFacts(
        inputs=_tensor_facts(interpreter.get_input_details()),
        outputs=_tensor_facts(interpreter.get_output_details()),
        class_names=read_class_names(name, content),
    )


def _tensor_facts(details: list[dict[str, object]]) -> tuple[TensorFacts, ...]:
    if len(details) > MAX_TENSORS:
        raise ModelRefused(f"{len(details)} tensors; allowed: {MAX_TENSORS}")
    return tuple(
        TensorFacts(
            shape=tuple(int(side) for side in detail["shape"]),  # type: ignore[attr-defined] # numpy's
            dtype=detail["dtype"].__name__,  # type: ignore[attr-defined] # a type of numpy
        )
        for detail in details
    )

"""HailoRT's Python binding `hailo_platform`, as far as picamera2's wrapper uses it; no index has the real one.

It behaves: a model is a TensorFlow Lite file that ends in TFLite_Detection_PostProcess, its passes run on a thread of the
device, and its output is HailoRT's suppression by class. A test tells it how to misbehave by files in the folder that
HAILO_DEVICE names: without `fitted` there is no device; `loading`: no load of a model ends; `silent`: no pass ends; `broken`: each pass
fails.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

FOLDER = Path(os.environ.get("HAILO_DEVICE", "/nonexistent"))
CLASS_COUNT = 80


class HailoRTException(Exception):
    """HailoRT's error."""


class FormatType(Enum):
    """Types of values."""

    UINT8 = 1
    FLOAT32 = 3


class HailoSchedulingAlgorithm(Enum):
    """Schedulers of several models."""

    ROUND_ROBIN = 1


class HEF:
    """A model's file."""

    def __init__(self, path: str) -> None:
        try:
            self.interpreter = Interpreter(model_path=path, num_threads=1)
        except ValueError as error:
            raise HailoRTException(
                f"libhailort failed with error: 26 (HAILO_INVALID_HEF) {path}"
            ) from error
        self.interpreter.allocate_tensors()

    def get_input_vstream_infos(self) -> list[Any]:
        _, height, width, channels = self.interpreter.get_input_details()[0]["shape"]
        layer_format = SimpleNamespace(type=FormatType.UINT8)
        return [
            SimpleNamespace(
                name="input", shape=(int(height), int(width), int(channels)), format=layer_format
            )
        ]

    def get_output_vstream_infos(self) -> list[Any]:
        layer_format = SimpleNamespace(type=FormatType.FLOAT32)
        return [SimpleNamespace(name="nms", shape=(CLASS_COUNT, 5, 100), format=layer_format)]


class _Layer:
    """An input or output of a model, and its buffer in a binding."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self.name, self.shape = name, shape
        self._buffer: Any = None

    def set_format_type(self, format_type: FormatType) -> None:
        assert isinstance(format_type, FormatType)

    def set_buffer(self, buffer: Any) -> None:
        self._buffer = buffer

    def get_buffer(self) -> Any:
        return self._buffer


class _Bindings:
    def __init__(self) -> None:
        self._output_names = ["nms"]
        self._input, self._output = _Layer("input", ()), _Layer("nms", (CLASS_COUNT, 5, 100))

    def input(self) -> _Layer:
        return self._input

    def output(self, _name: str = "nms") -> _Layer:
        return self._output


class _ConfiguredModel:
    def __init__(self, hef: HEF) -> None:
        self._hef = hef
        self._jobs: queue.SimpleQueue[tuple[_Bindings, Callable[..., None]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def create_bindings(self, output_buffers: dict[str, Any]) -> _Bindings:
        assert set(output_buffers) == {"nms"}
        return _Bindings()

    def wait_for_async_ready(self, timeout_ms: int) -> None:
        assert timeout_ms > 0

    def run_async(self, bindings: Sequence[_Bindings], callback: Callable[..., None]) -> None:
        self._jobs.put((bindings[0], callback))

    def _run(self) -> None:
        while True:
            bindings, callback = self._jobs.get()
            if (FOLDER / "silent").exists():
                continue
            if (FOLDER / "broken").exists():
                error = HailoRTException("libhailort failed with error: 8 (HAILO_INTERNAL_FAILURE)")
                callback(completion_info=SimpleNamespace(exception=error))
                continue
            bindings.output().set_buffer(self._infer(bindings.input().get_buffer()))
            callback(completion_info=SimpleNamespace(exception=None))

    def _infer(self, picture: Any) -> list[Any]:
        interpreter = self._hef.interpreter
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[np.newaxis])
        interpreter.invoke()
        details = sorted(interpreter.get_output_details(), key=lambda detail: detail["name"])
        boxes, classes, count, scores = (interpreter.get_tensor(one["index"]) for one in details)
        rows: list[list[Any]] = [[] for _ in range(CLASS_COUNT)]
        for index in range(int(count[0])):
            if int(classes[0][index]) < CLASS_COUNT:
                row = [*boxes[0][index].tolist(), float(scores[0][index])]
                rows[int(classes[0][index])].append(row)
        return [np.array(one, np.float32).reshape(-1, 5) for one in rows]


class _InferModel:
    output_names = ("nms",)

    def __init__(self, hef: HEF) -> None:
        self._hef = hef
        self.outputs = [_Layer("nms", (CLASS_COUNT, 5, 100))]
        self._input = _Layer("input", tuple(hef.get_input_vstream_infos()[0].shape))

    def set_batch_size(self, size: int) -> None:
        assert size == 1

    def input(self) -> _Layer:
        return self._input

    def output(self, _name: str) -> _Layer:
        return self.outputs[0]

    def configure(self) -> _ConfiguredModel:
        return _ConfiguredModel(self._hef)


class VDevice:
    """The device."""

    def __init__(self, params: Any) -> None:
        assert params.scheduling_algorithm is HailoSchedulingAlgorithm.ROUND_ROBIN
        if not (FOLDER / "fitted").exists():
            raise HailoRTException(
                "libhailort failed with error: 74 (HAILO_OUT_OF_PHYSICAL_DEVICES)"
            )

    @staticmethod
    def create_params() -> Any:
        return SimpleNamespace(scheduling_algorithm=None)

    def create_infer_model(self, path: str) -> _InferModel:
        while (FOLDER / "loading").exists():
            time.sleep(0.01)
        return _InferModel(HEF(path))

    def release(self) -> None:
        """Nothing is held."""

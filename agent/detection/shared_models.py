"""The models that the cameras of a box have loaded, each once."""

import os
import threading

from agent.detection.interpreter_pool import InterpreterPool
from agent.detection.model_card import find_model, read_verified_model
from agent.detection.tflite import TfliteDetector, open_interpreter


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

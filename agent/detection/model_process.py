"""A foreign model in a child process, as its user sees it: facts of the file, and detections in pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from agent.detection.model_card import ModelCard, ModelRefused
from agent.detection.model_child import (
    Detect,
    Inspect,
    Load,
    ModelChildSettings,
    ModelFacts,
    ModelPass,
)
from drivers.child.process import new_interpreter
from drivers.child.requests import ChildError, RequestChild
from drivers.errors import DriverError

START_PROCESS = new_interpreter("agent.detection.model_child")
ANSWER_TIMEOUT_S = 120.0
"""A busy board is slow."""

T = TypeVar("T")


class ModelProcess:
    """One child. Not thread-safe.

    `name` begins the messages, such as `model 'yolox.tflite'`. It reads `readable` files and folders only, and its CPU
    time is `cpu_s` at most.
    """

    def __init__(self, name: str, readable: Sequence[Path], cpu_s: int) -> None:
        self._name = name
        settings = ModelChildSettings(
            readable=tuple(str(path.resolve()) for path in readable), cpu_s=cpu_s
        )
        self._child = RequestChild(name, settings, START_PROCESS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def inspect(self, path: Path) -> ModelFacts:
        """Return the facts of a file. Raises: ModelRefused."""
        return self._request(Inspect(path=str(path.resolve())), ModelFacts)

    def load(self, card: ModelCard, path: Path) -> None:
        """Load a model. Raises: ModelRefused if its file does not fit its card, or the runtime refuses it."""
        self._request(Load(card=card, path=str(path.resolve())), type(None))

    def detect(self, picture: Path) -> tuple[ModelPass, ...]:
        """Run the loaded models on a picture, in the order of loading. Raises: ModelRefused."""
        return self._request(Detect(picture=str(picture.resolve())), tuple[ModelPass, ...])

    def close(self) -> None:
        """End the child."""
        self._child.end(graceful=False)

    def _request(self, operation: msgspec.Struct, result_type: type[T]) -> T:
        try:
            return self._child.request(operation, result_type, ANSWER_TIMEOUT_S)
        except ChildError as error:
            if error.silent_end is None:
                raise ModelRefused(str(error)) from error
            raise ModelRefused(
                f"{self._name}: the runtime did not survive it: {error.silent_end}"
            ) from error
        except DriverError as error:
            raise ModelRefused(str(error)) from error

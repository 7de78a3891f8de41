"""A foreign model in a child process, as its user sees it: facts of the file, and detections in pictures."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from agent.detection.model_card import ModelCard, ModelRefused
from agent.detection.model_child import (
    Detect,
    Detected,
    Inspect,
    Load,
    Loaded,
    ModelAnswer,
    ModelChildSettings,
    ModelFacts,
    ModelPass,
    ModelRequest,
    Refusal,
)
from drivers.child import messages
from drivers.child.connection import KILL_TIMEOUT_S, ChildConnection
from drivers.child.process import new_interpreter
from drivers.errors import DriverError

CHILD_MODULE = "agent.detection.model_child"
ANSWER_TIMEOUT_S = 120.0
"""The first answer waits for the interpreter and its libraries; a busy board is slow."""

AnswerT = TypeVar("AnswerT", bound=msgspec.Struct)
_answer_decoder: msgspec.msgpack.Decoder[ModelAnswer] = msgspec.msgpack.Decoder(ModelAnswer)


class ModelProcess:
    """One child. Not thread-safe.

    `name` begins the messages, such as `model 'yolox.tflite'`. It reads `readable` files and folders only, and its CPU
    time is `cpu_s` at most.
    """

    def __init__(self, name: str, readable: Sequence[Path], cpu_s: int) -> None:
        self._name = name
        self._answers: deque[ModelAnswer] = deque()
        settings = ModelChildSettings(
            readable=tuple(str(path.resolve()) for path in readable), cpu_s=cpu_s
        )
        self._connection: ChildConnection[ModelAnswer] = ChildConnection(
            name, settings, new_interpreter(CHILD_MODULE), _answer_decoder, self._handle
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def inspect(self, path: Path) -> ModelFacts:
        """Return the facts of a file. Raises: ModelRefused."""
        return self._ask(Inspect(path=str(path.resolve())), ModelFacts)

    def load(self, card: ModelCard, path: Path) -> None:
        """Load a model. Raises: ModelRefused if its file does not fit its card, or the runtime refuses it."""
        self._ask(Load(card=card, path=str(path.resolve())), Loaded)

    def detect(self, picture: Path) -> tuple[ModelPass, ...]:
        """Run the loaded models on a picture, in the order of loading. Raises: ModelRefused."""
        return self._ask(Detect(picture=str(picture.resolve())), Detected).passes

    def close(self) -> None:
        """End the child."""
        self._connection.end(graceful=False, kill_timeout_s=KILL_TIMEOUT_S)

    def _handle(self, message: ModelAnswer) -> None:
        """Handle a message, on the connection's thread. Raises: DriverError."""
        if isinstance(message, messages.Failed):
            raise DriverError(message.kind, message.message)
        self._answers.append(message)

    def _ask(self, request: ModelRequest, answer_type: type[AnswerT]) -> AnswerT:
        self._connection.send(request)
        if not self._connection.wait_for(lambda: bool(self._answers), ANSWER_TIMEOUT_S):
            error, is_silent = self._connection.error, self._connection.ended_silently
            self.close()
            if error is not None and not is_silent:
                raise ModelRefused(str(error)) from error
            raise ModelRefused(
                f"{self._name}: the runtime did not survive it: {self._connection.describe_child()}"
            )
        answer = self._answers.popleft()
        if isinstance(answer, Refusal):
            raise ModelRefused(answer.reason)
        if not isinstance(answer, answer_type):
            raise ModelRefused(f"{self._name}: its process answers another request")
        return answer

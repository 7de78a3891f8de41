"""What the guard answers for: see `agent.failsafe.guard_stage`."""

import threading

from agent.runtime.stage import Stage


class GuardedStage:
    """A stage that the guard answers for until it has let go of what it moves or switches."""

    def __init__(self, stage: Stage) -> None:
        self.name = stage.name
        self._stage = stage
        self._is_released = False

    @property
    def is_released(self) -> bool:
        """Whether it was closed, and nothing went wrong with that. From any thread."""
        return self._is_released

    def run_once(self, stopping: threading.Event) -> None:
        """As the stage."""
        self._stage.run_once(stopping)

    def close(self) -> None:
        """As the stage."""
        self._stage.close()
        self._is_released = True

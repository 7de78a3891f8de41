"""Schedule of the tries of each upload. Pure: randomness comes from the caller, time is an argument."""

import random

import msgspec

from agent.runtime.backoff import Backoff
from agent.runtime.pause import Pause

FIRST_RETRY_S, MAX_RETRY_S = 1.0, 300.0


class _Tries(msgspec.Struct):
    """The tries of one upload in this run of the agent."""

    pause: Pause = msgspec.field(default_factory=Pause)
    backoff: Backoff = msgspec.field(default_factory=lambda: Backoff(FIRST_RETRY_S, MAX_RETRY_S))
    crashes: int = 0
    last_reason: str = "it was not tried"


class UploadSchedule:
    """When each upload may be tried again."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._tries: dict[str, _Tries] = {}

    def is_due(self, upload_id: str, now_ns: int) -> bool:
        """Return whether an upload may be tried now."""
        return self._of(upload_id).pause.is_over(now_ns)

    def postpone(
        self, upload_id: str, now_ns: int, reason: str, *, has_sent: bool, after_s: float | None
    ) -> None:
        """Pause an upload: shortly if the last try has sent something, and at least for `after_s`."""
        tries = self._of(upload_id)
        tries.last_reason = reason
        if has_sent:
            tries.backoff.reset()
        wait_s = tries.backoff.next_s() * self._rng.uniform(0.5, 1.0)
        tries.pause.begin(now_ns, max(wait_s, after_s or 0.0))

    def count_crash(self, upload_id: str) -> int:
        """Count a try whose child has died, and return how many there were."""
        tries = self._of(upload_id)
        tries.crashes += 1
        return tries.crashes

    def last_reason(self, upload_id: str) -> str:
        """Return why the last try has failed."""
        return self._of(upload_id).last_reason

    def forget(self, upload_id: str) -> None:
        """Forget an upload that has ended."""
        self._tries.pop(upload_id, None)

    def _of(self, upload_id: str) -> _Tries:
        return self._tries.setdefault(upload_id, _Tries())

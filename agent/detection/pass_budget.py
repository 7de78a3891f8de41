"""Pass budget of a box: the passes of the detector that its cameras share while the box is under strain. Pure.

By default each camera may use `PipelineSettings.max_inferences_per_s`, which a busy junction needs. Under strain the box
has PASSES_PER_CAMERA for each of its cameras, and a camera that needs less, or has no frames, leaves the rest to those that need more.
"""

import threading
from collections.abc import Mapping

PASSES_PER_CAMERA = 8.0
"""Passes per second of the whole box under strain, by camera: at 8 a busy camera costs a third less than at 15, and
the F1 of its counts is .936 in place of .946."""

MIN_PASSES_PER_S = 1.0
"""Rate of each camera: the whole picture every two seconds, and as many crops."""

HEADROOM = 1.5
"""Share by the passes that a camera has used: the next motion is noticed before the shares change."""

INTERVAL_NS = 500_000_000
"""Time after which needs are measured and shares change."""

MAX_SILENCE_NS = 3_000_000_000
"""A camera that has reported no need for a longer time has no frames. Keyframes of a still street are up to 2.5 s apart."""


class CameraPasses:
    """The passes of one camera. Called on its detect thread."""

    def __init__(self, budget: "PassBudget") -> None:
        self._budget = budget
        self._used = 0
        self._is_limited = False
        self._since_ns: int | None = None

    def limit_per_s(self, t_ns: int) -> float | None:
        """Return the passes per second that the camera may use at a frame's time; None is no limit of the box."""
        if self._since_ns is None or t_ns < self._since_ns:
            self._since_ns = t_ns
        elapsed_ns = t_ns - self._since_ns
        if elapsed_ns >= INTERVAL_NS:
            used_per_s = self._used / (elapsed_ns / 1e9)
            self._budget.report(self, None if self._is_limited else used_per_s, t_ns)
            self._used, self._is_limited, self._since_ns = 0, False, t_ns
        return self.share_per_s

    @property
    def share_per_s(self) -> float | None:
        """The passes per second that the camera may use, None if the box does not limit them. Thread-safe."""
        return self._budget.share_of(self)

    def note(self, used: int, *, is_limited: bool) -> None:
        """Note the passes of a frame. `is_limited`: it could have used more."""
        self._used += used
        self._is_limited = self._is_limited or is_limited


class PassBudget:
    """Shares the passes of the box among its cameras. Thread-safe."""

    def __init__(self, usual_per_s: float | None = None) -> None:
        """With `usual_per_s` its members are the views of one camera: they share these passes, and those of one camera under strain."""
        self._usual_per_s = usual_per_s
        self._lock = threading.Lock()
        self._needs: dict[CameraPasses, float | None] = {}
        self._reported_ns: dict[CameraPasses, int] = {}
        self._newest_ns = 0
        self._shares: Mapping[CameraPasses, float] = {}
        self._is_strained = False

    def join(self) -> CameraPasses:
        """Return the passes of one more camera."""
        camera = CameraPasses(self)
        with self._lock:
            self._needs[camera], self._reported_ns[camera] = None, self._newest_ns
            self._share()
        return camera

    def set_strained(self, *, is_strained: bool) -> None:
        """Limit the cameras to their shares, or not."""
        with self._lock:
            self._is_strained = is_strained
            self._share()

    def report(self, camera: CameraPasses, need_per_s: float | None, t_ns: int) -> None:
        """Take the passes that a camera has used at a frame's time, None if it needs more than it had."""
        with self._lock:
            self._needs[camera], self._reported_ns[camera] = need_per_s, t_ns
            self._newest_ns = max(self._newest_ns, t_ns)
            self._share()

    def share_of(self, camera: CameraPasses) -> float | None:
        """Return the camera's passes per second, None while they are not limited."""
        is_limited = self._is_strained or self._usual_per_s is not None
        return self._shares[camera] if is_limited else None

    def _share(self) -> None:
        if self._usual_per_s is None:
            total_per_s = PASSES_PER_CAMERA * len(self._needs)
        else:
            total_per_s = PASSES_PER_CAMERA if self._is_strained else self._usual_per_s
        since_ns = self._newest_ns - MAX_SILENCE_NS
        needs = {
            camera: need_per_s if self._reported_ns[camera] >= since_ns else 0.0
            for camera, need_per_s in self._needs.items()
        }
        self._shares = share_passes(needs, total_per_s)


def share_passes(
    needs: Mapping[CameraPasses, float | None], total_per_s: float
) -> dict[CameraPasses, float]:
    """Share passes: each camera gets what it needs, up to an equal part of what is left.

    The camera with the least need is served first. Those that need more than they have share the rest equally.
    """
    left_per_s = total_per_s
    shares: dict[CameraPasses, float] = {}
    by_need = sorted(needs.items(), key=lambda item: float("inf") if item[1] is None else item[1])
    for index, (camera, need_per_s) in enumerate(by_need):
        equal_per_s = left_per_s / (len(by_need) - index)
        wanted_per_s = (
            equal_per_s if need_per_s is None else max(MIN_PASSES_PER_S, HEADROOM * need_per_s)
        )
        shares[camera] = min(equal_per_s, wanted_per_s)
        left_per_s -= shares[camera]
    return shares

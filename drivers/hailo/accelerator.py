"""A model on a Hailo, as its users see it: pictures in, objects out.

The child is started when a picture comes, and again a while after it has failed: `infer` never waits for that.
"""

import mmap
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drivers.child.frame_memory import FrameMemory, create_memory
from drivers.child.process import ChildStarter, new_interpreter
from drivers.child.requests import PendingReply, RequestChild
from drivers.errors import DriverError
from drivers.hailo import messages
from drivers.media import NS_PER_S, FoundObject, FoundObjects

START_PROCESS = new_interpreter("drivers.hailo.child")
LOAD_TIMEOUT_NS = 60 * NS_PER_S
"""Picamera2 and HailoRT alone take seconds to load on a small board."""
INFER_TIMEOUT_S = 2.0
"""A pass takes hundredths of a second, and less than one with as many cameras as a box may have."""
MIN_PAUSE_NS, MAX_PAUSE_NS = 10 * NS_PER_S, 600 * NS_PER_S
"""From a failure to the next try: doubled with each."""


class HailoModel:
    """One model on the box's Hailo. Thread-safe: the cameras of a box share it."""

    def __init__(
        self,
        file: Path,
        sha256: str,
        class_numbers: tuple[int, ...],
        min_score: float,
        clock_ns: Callable[[], int],
        start_process: ChildStarter = START_PROCESS,
    ) -> None:
        """A file of another hash than `sha256` is not loaded, also if it was replaced since the last time."""
        self._display_name = f"hailo: {file.name}"
        self._settings = messages.ModelSettings(
            file=str(file), sha256=sha256, min_score=min_score, class_numbers=class_numbers
        )
        self._clock_ns = clock_ns
        self._start_process = start_process
        self._lock = threading.Lock()
        self._child: RequestChild | None = None
        self._loading: PendingReply = Future()
        self._memory_fd = -1
        self._memory: mmap.mmap | None = None
        self._loaded: messages.Loaded | None = None
        self._failure: DriverError | None = None
        self._try_at_ns = 0
        self._pause_ns = MIN_PAUSE_NS
        self._load_deadline_ns = 0

    @property
    def child_pid(self) -> int | None:
        """The process of the model, None if there is none."""
        child = self._child
        return None if child is None else child.pid

    def wait(self, timeout_s: float) -> None:
        """Wait until the model is loaded or has failed, or the timeout has passed."""
        if self._child is not None:
            wait([self._loading], timeout_s)

    def input_size_px(self) -> tuple[int, int]:
        """Return the width and height of the pictures for `infer`.

        Raises: DriverError `busy` while the model is loaded; otherwise the last failure.
        """
        with self._lock:
            loaded = self._ensure_loaded()
            return loaded.width_px, loaded.height_px

    def infer(self, rgb: npt.NDArray[np.uint8]) -> tuple[FoundObject, ...]:
        """Return the objects in a picture of `input_size_px`, best first.

        Raises: DriverError as `input_size_px`, and if the child fails or does not answer.
        """
        with self._lock:
            self._ensure_loaded()
            child, memory = self._child, self._memory
            if child is None or memory is None:
                raise DriverError("closed", f"{self._display_name}: is closed")
            np.frombuffer(memory, np.uint8)[:] = rgb.reshape(-1)
            try:
                pending = child.begin(messages.Infer())
                has_answer = bool(wait([pending], INFER_TIMEOUT_S).done)
                objects = child.finish(pending, FoundObjects, 0) if has_answer else None
            except DriverError as error:
                raise self._fail(error) from error
            if objects is None:
                raise self._fail(
                    DriverError(
                        "timeout", f"{self._display_name}: no result within {INFER_TIMEOUT_S:g} s"
                    )
                )
            self._failure, self._pause_ns = None, MIN_PAUSE_NS
            return objects

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end_child()
            self._failure = DriverError("closed", f"{self._display_name}: is closed")
            self._try_at_ns = 1 << 63

    def _ensure_loaded(self) -> messages.Loaded:
        now_ns = self._clock_ns()
        if self._child is None:
            if self._failure is not None and now_ns < self._try_at_ns:
                raise self._failure
            self._child = self._start(now_ns)
        if self._loaded is None:
            if not self._loading.done():
                if now_ns >= self._load_deadline_ns:
                    raise self._fail(
                        DriverError(
                            "timeout", f"{self._display_name}: the model was not loaded in time"
                        )
                    )
                raise self._failure or DriverError("busy", f"{self._display_name}: is being loaded")
            try:
                self._loaded = self._child.finish(self._loading, messages.Loaded, 0)
                FrameMemory.seal(self._memory_fd)
                self._memory = mmap.mmap(self._memory_fd, messages.input_bytes(self._loaded))
            except DriverError as error:
                raise self._fail(error) from error
            except (OSError, ValueError) as error:
                raise self._fail(
                    DriverError("crashed", f"{self._display_name}: no memory for pictures: {error}")
                ) from error
        return self._loaded

    def _start(self, now_ns: int) -> RequestChild:
        self._loaded = None
        self._load_deadline_ns = now_ns + LOAD_TIMEOUT_NS
        self._memory_fd = create_memory()
        child = RequestChild(
            self._display_name, self._settings, self._start_process, memory_fd=self._memory_fd
        )
        self._loading = child.begin(messages.Load())
        return child

    def _fail(self, error: DriverError) -> DriverError:
        self._end_child()
        self._failure = error
        self._try_at_ns = self._clock_ns() + self._pause_ns
        self._pause_ns = min(MAX_PAUSE_NS, 2 * self._pause_ns)
        return error

    def _end_child(self) -> None:
        child, self._child = self._child, None
        memory, self._memory = self._memory, None
        if memory is not None:
            memory.close()
        if child is not None:
            child.end(graceful=False)

"""The fetch of models that a version of the centre's configuration waits for."""

import threading
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from agent.config.desired_store import ConfigLayer
from agent.reporting.payloads import FetchingModel


class FetchedModels(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of fetching the models of a version: no `reasons` if all are there, and each could be loaded.

    `is_final`: another try does not help.
    """

    reasons: tuple[str, ...] = ()
    is_final: bool = False


EndFetch: TypeAlias = Callable[[], None]
ReportFetch: TypeAlias = Callable[[FetchingModel], None]
FetchModels: TypeAlias = Callable[
    [ConfigLayer, ReportFetch, Callable[[FetchedModels], None]], EndFetch
]
"""Begins to fetch the models of a version in a thread of its own, in place of those of an earlier call. Calls its second
argument with the progress now and then, and its third one with the outcome. What it returns ends the fetch early, and
never blocks.
"""


class ModelFetch(msgspec.Struct, frozen=True, kw_only=True):
    """The version whose models are fetched, and its message, which is empty if the version is in force already."""

    payload: bytes
    layer: ConfigLayer


class PendingFetch:
    """One fetch at a time: a new one replaces that before it, whose outcome is dropped. Thread-safe."""

    def __init__(self, fetch_models: FetchModels, notify: Callable[[], None]) -> None:
        """`notify` is called when there is progress, and once an outcome is there."""
        self._fetch_models = fetch_models
        self._notify = notify
        self._lock = threading.Lock()
        self._fetch: ModelFetch | None = None
        self._progress: FetchingModel | None = None
        self._has_progressed = False
        self._outcome: FetchedModels | None = None
        self._end_fetch: EndFetch = lambda: None
        self._is_refused_again = False

    @property
    def has_news(self) -> bool:
        """Whether there is progress, or the fetch has ended."""
        return self._has_progressed or self._outcome is not None

    @property
    def progress(self) -> FetchingModel | None:
        """The progress of the fetch, None if there is none."""
        return self._progress

    def is_of(self, payload: bytes) -> bool:
        """Return whether the models of this message are fetched."""
        fetch = self._fetch
        return fetch is not None and fetch.payload == payload

    def begin(self, payload: bytes, layer: ConfigLayer) -> None:
        """Fetch the models of a version."""
        fetch = ModelFetch(payload=payload, layer=layer)
        with self._lock:
            self._fetch, self._progress, self._outcome = fetch, None, None

        def on_progress(progress: FetchingModel) -> None:
            with self._lock:
                if fetch is not self._fetch:
                    return
                self._progress, self._has_progressed = progress, True
            self._notify()

        def on_fetched(outcome: FetchedModels) -> None:
            with self._lock:
                if fetch is not self._fetch:
                    return
                self._progress, self._outcome = None, outcome
            self._notify()

        self._end_fetch = self._fetch_models(layer, on_progress, on_fetched)

    def begin_again(self, layer: ConfigLayer) -> None:
        """Fetch the models of the version in force, unless they are being fetched or were refused for good."""
        if not self.is_of(b"") and not self._is_refused_again:
            self.begin(b"", layer)

    def drop(self) -> None:
        """End and forget the fetch: another version is decided. Called on the thread of `begin`."""
        with self._lock:
            self._fetch = self._progress = self._outcome = None
            self._has_progressed = False
        self._end_fetch()

    def pop_progress(self) -> bool:
        """Return whether there was progress since the last call."""
        with self._lock:
            has_progressed, self._has_progressed = self._has_progressed, False
            return has_progressed

    def pop(self) -> tuple[ModelFetch, FetchedModels] | None:
        """Return the fetch that has ended, and its outcome."""
        with self._lock:
            if self._fetch is None or self._outcome is None:
                return None
            ended = self._fetch, self._outcome
            if not self._fetch.payload:
                self._is_refused_again = self._outcome.is_final
            self._fetch = self._outcome = None
            return ended

"""Models that a version of the centre's configuration brings: their cards are in it, their files are fetched."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec

from agent.config.configuration import Config, DetectConfig
from agent.config.desired_config import CardFiles, DesiredModel
from agent.config.desired_store import ConfigLayer
from agent.config.link import LinkConfig
from agent.config.names import IDENTIFYING_REFUSAL, is_card_path, is_identifying, name_of_model
from agent.detection.model_card import (
    ModelRefused,
    find_model,
    list_model_names,
    read_verified_model,
)
from agent.health.box_check import ExpectedCamera
from agent.reporting.payloads import FetchingModel


def iter_refused(card_files: CardFiles) -> Iterator[str]:
    """Yield a line, which begins with the key, for each model that is refused by its card alone."""
    shipped = list_model_names()
    for name, card_path in card_files.items():
        if name in shipped:
            yield f"models.{name}: the agent has a model of this name; allowed: another name"
            continue
        if is_identifying(name):
            yield f"models.{name}: {IDENTIFYING_REFUSAL}"
            continue
        try:
            find_model(card_path)
        except ModelRefused as error:
            yield f"models.{name}.card: {error}"


def iter_too_large(
    models: Mapping[str, DesiredModel], card_files: CardFiles, link: LinkConfig
) -> Iterator[str]:
    """Yield a line, which begins with the key, for each model whose fetch alone takes more than a metered link's day."""
    if not link.metered or link.bytes_per_day is None:
        return
    for name in missing_models(card_files):
        size_bytes = models[name].size_bytes
        if size_bytes > link.bytes_per_day:
            yield (
                f"models.{name}.size_bytes = {size_bytes}: the link is metered; "
                f"allowed: link.bytes_per_day = {link.bytes_per_day} or less"
            )


def missing_models(card_files: CardFiles) -> tuple[str, ...]:
    """Return the names of the models whose file is not there, or is not that of its card."""
    return tuple(name for name, path in card_files.items() if not is_complete(Path(path)))


def is_complete(card_path: Path) -> bool:
    """Return whether the file of a valid card is there, and has its hash."""
    try:
        read_verified_model(find_model(str(card_path)).card, card_path.parent)
    except ModelRefused:
        return False
    return True


def expected_cameras(config: Config, names: Collection[str]) -> tuple[ExpectedCamera, ...]:
    """Return the cameras of these names as a trial expects them."""
    return tuple(
        ExpectedCamera(
            name=camera.name, record=camera.record, model=_delivered_model(camera.detect)
        )
        for camera in config.camera
        if camera.name in names
    )


def _delivered_model(detect: DetectConfig) -> str | None:
    """Return the name of a camera's model if it is not the agent's own, and no accelerator detects in its place."""
    if not detect.enabled or detect.accelerator is not None or not is_card_path(detect.model):
        return None
    return name_of_model(detect.model)


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
    def is_busy(self) -> bool:
        """Whether models are being fetched, or the outcome was not taken yet."""
        return self._fetch is not None

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

"""Fetch of the detection models of a configuration: downloaded, compared with their cards, and loaded once.

    desired/models/<sha256>/NAME.toml       the card, from the configuration
    desired/models/<sha256>/NAME.tflite     the file, once it has the hash of the card and was loaded in a child

Until then it is next to them under the names of `download`.

A file is loaded for the first time in a process with bounds of its own, because it is a program for the runtime.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from agent.base.atomic_file import fsync_dir
from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.http_client import MAX_CHUNK_BYTES, HttpResponse
from agent.base.message import Message
from agent.base.progress import describe_progress
from agent.base.tls_authorities import read_authorities
from agent.base.url import without_query
from agent.config.desired_config import DesiredModel
from agent.config.desired_store import ConfigLayer, DesiredStore
from agent.config_change.delivered_models import EndFetch, FetchedModels, ReportFetch, is_complete
from agent.detection.model_card import ModelRefused, find_model
from agent.reporting.payloads import FetchingModel
from agent.runtime.link_budget import DAY_RETRY_S, DAY_USED_UP, LinkBudget
from agent.runtime.pause import Pause
from agent.update.download import Download, DownloadSpec, WaitOrStop
from agent.update.errors import DownloadRejected, UpdateError
from agent.update.https_get import HttpGet, direct_get

log = logging.getLogger(__name__)

LOAD_CPU_S = 120
PROGRESS_INTERVAL_S = 10.0
"""Each progress is a message of its own."""
ENDED = "the fetch is ended: another version is decided"


class DayUsedUp(UpdateError):
    """No more bytes may be fetched on this day."""


class MeteredGet:
    """A GET within a budget, for one thread.

    Bytes are counted before they are read, so the budget is never exceeded. Up to MAX_CHUNK_BYTES more than the body are
    counted of each file: about as much as the handshake and the headers take.
    """

    def __init__(
        self, http_get: HttpGet, budget: LinkBudget, clock: Clock, wait_or_stop: WaitOrStop
    ) -> None:
        self._http_get = http_get
        self._budget = budget
        self._clock = clock
        self._wait_or_stop = wait_or_stop
        self._counted_bytes = 0

    @contextmanager
    def __call__(self, url: str, headers: Mapping[str, str]) -> Iterator[HttpResponse]:
        """Send the GET. Raises: HttpError, DayUsedUp, UpdateError if it is to stop."""
        self._count_next_chunk()
        with self._http_get(url, headers) as response:
            yield msgspec.structs.replace(response, body=self._iter_body(response))

    def _iter_body(self, response: HttpResponse) -> Iterator[bytes]:
        for chunk in response.body:
            self._counted_bytes -= len(chunk)
            yield chunk
            self._count_next_chunk()

    def _count_next_chunk(self) -> None:
        while self._counted_bytes < MAX_CHUNK_BYTES:
            now_ns = self._clock.boottime_ns()
            day = self._clock.utc(now_ns).toordinal()
            piece_bytes = self._budget.piece_bytes
            wait_s = self._budget.take(piece_bytes, "transfer", now_ns, day)
            if wait_s is None:
                raise DayUsedUp(DAY_USED_UP)
            if wait_s == 0:
                self._counted_bytes += piece_bytes
            elif self._wait_or_stop(wait_s):
                raise UpdateError("the download was ended while it waited for the link's budget")


class ModelFetcher:
    """Fetches the models of one version at a time; a later one ends the fetch before it, and begins after its end: two
    versions may have the same model, whose bytes go into one file. Called on one thread.

    `ca_file` has the authorities of the servers, by default the system's. Bytes are counted towards `budget`: if those of
    the day are used up, the fetch continues on the next one.
    """

    def __init__(
        self, state_dir: Path, ca_file: Path | None, budget: LinkBudget, clock: Clock
    ) -> None:
        self._store = DesiredStore(state_dir)
        self._ca_file = ca_file
        self._budget = budget
        self._clock = clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def fetch(
        self,
        layer: ConfigLayer,
        report: ReportFetch,
        on_done: Callable[[FetchedModels], None],
    ) -> EndFetch:
        """Fetch the models of a version whose cards are written. `on_done` is called once, on the fetch's thread."""
        self._stop.set()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run,
            args=(layer, report, on_done, self._stop, self._thread),
            name="fetch models",
            daemon=True,
        )
        self._thread.start()
        return self._stop.set

    def _run(
        self,
        layer: ConfigLayer,
        report: ReportFetch,
        on_done: Callable[[FetchedModels], None],
        stop: threading.Event,
        before: threading.Thread | None,
    ) -> None:
        outcome = FetchedModels(reasons=("models: the fetch has failed; see the log",))
        try:
            if before is not None:
                before.join()
            outcome = self._fetch_all(layer, report, stop)
        finally:
            on_done(outcome)

    def _fetch_all(
        self, layer: ConfigLayer, report: ReportFetch, stop: threading.Event
    ) -> FetchedModels:
        cards = self._store.card_files(layer)
        for name, model in layer.models.items():
            progress = _Progress(layer, name, report, self._clock, stop)
            try:
                self._fetch(model, Path(cards[name]), progress, stop)
            except (DownloadRejected, ModelRefused) as error:
                return FetchedModels(reasons=(f"models.{name}: {error}",), is_final=True)
            except (UpdateError, UserError, OSError) as error:
                return FetchedModels(reasons=(f"models.{name}: {error}",))
        return FetchedModels()

    def _fetch(
        self, model: DesiredModel, card_path: Path, progress: "_Progress", stop: threading.Event
    ) -> None:
        """Raises: DownloadRejected, UpdateError, ModelRefused, OSError."""
        # Imported here: it is needed once in the life of most boxes, if at all.
        from agent.detection.model_process import ModelProcess  # noqa: PLC0415

        if is_complete(card_path):
            return
        name = card_path.stem
        log.info("model %s: it is fetched from %s", name, without_query(model.url))
        found = find_model(str(card_path))
        spec = DownloadSpec(
            url=model.url,
            suffix=found.path.suffix,
            sha256=found.card.sha256,
            size_bytes=model.size_bytes,
        )
        ca_pem = read_authorities(self._ca_file, str(self._ca_file))
        http_get = MeteredGet(
            direct_get(ca_pem, str(self._ca_file)), self._budget, self._clock, stop.wait
        )
        download = Download(spec, card_path.parent, http_get)
        progress.on_fetched(0, model.size_bytes)
        path = _download(download, progress, stop)
        progress.report("checking")
        try:
            with ModelProcess(f"model {name!r}", [path], LOAD_CPU_S) as process:
                process.load(found.card, path)
        except ModelRefused:
            download.discard()
            raise
        path.replace(found.path)
        fsync_dir(card_path.parent)


class _Progress:
    """Reports the progress of one model, at intervals; `stop` ends the fetch at the next bytes."""

    def __init__(
        self,
        layer: ConfigLayer,
        name: str,
        report: ReportFetch,
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._layer = layer
        self._name = name
        self._report = report
        self._clock = clock
        self._stop = stop
        self._pause = Pause()
        self._fraction = 0.0

    def on_fetched(self, done: int, total: int) -> None:
        """Raises UpdateError if the fetch is to end."""
        if self._stop.is_set():
            raise UpdateError(ENDED)
        self._fraction = done / max(1, total)
        now_ns = self._clock.boottime_ns()
        if self._pause.is_over(now_ns):
            self._pause.begin(now_ns, PROGRESS_INTERVAL_S)
            self.report(str(describe_progress(Message("downloading"), done, total)))

    def report(self, detail: str) -> None:
        """Report the current step at once."""
        self._report(
            FetchingModel(
                version=self._layer.version,
                digest=self._layer.digest,
                model=self._name,
                progress=self._fraction,
                detail=detail,
            )
        )


def _download(download: Download, progress: _Progress, stop: threading.Event) -> Path:
    """Return the file's path; if the bytes of the day are used up, wait for the next one."""
    while True:
        try:
            return download.fetch(progress.on_fetched, stop.wait)
        except DayUsedUp as error:
            progress.report(f"waiting: {error}")
            if stop.wait(DAY_RETRY_S):
                raise UpdateError(ENDED) from error

"""agent.update.model_fetcher: real servers, real models, and what is no model."""

import logging
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.base.clock import Clock, SystemClock
from agent.base.sha256 import sha256_hex
from agent.config.desired_config import DesiredModel
from agent.config.desired_store import ConfigLayer, DesiredStore
from agent.config_change.delivered_models import FetchedModels
from agent.detection.model_card import MODELS_FOLDER
from agent.reporting.payloads import FetchingModel
from agent.runtime.link_budget import LinkBudget
from agent.update import model_fetcher
from agent.update.model_fetcher import ModelFetcher
from tests.conftest import ManualClock
from tests.server_certificate import CA_FILE
from tests.updates.file_server import FileServer, https_server

CONTENT = (MODELS_FOLDER / "ssdlite_mobilenet_v2.tflite").read_bytes()
CARD = (MODELS_FOLDER / "ssdlite_mobilenet_v2.toml").read_text()
TIMEOUT_S = 60


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    with https_server(tmp_path) as server:
        server.files["/own.tflite"] = CONTENT
        yield server


def version(server: FileServer, content: bytes = CONTENT, path: str = "/own.tflite") -> ConfigLayer:
    """A version with a model of this content."""
    card = CARD.replace('name = "ssdlite_mobilenet_v2"', 'name = "own"', 1)
    card = card.replace(sha256_hex(CONTENT), sha256_hex(content))
    model = DesiredModel(card=card, url=server.url(path), size_bytes=len(content))
    return ConfigLayer(version=1, models={"own": model})


def make_fetcher(folder: Path, budget: LinkBudget, clock: Clock | None = None) -> ModelFetcher:
    return ModelFetcher(folder, folder / CA_FILE, budget, clock or SystemClock())


def ignore_progress(_progress: FetchingModel) -> None:
    """For tests of the outcome alone."""


def fetch(
    folder: Path, layer: ConfigLayer, budget: LinkBudget | None = None
) -> tuple[FetchedModels, Path]:
    """The outcome, and the path of the model."""
    store = DesiredStore(folder)
    store.write_files(layer)
    outcomes: queue.SimpleQueue[FetchedModels] = queue.SimpleQueue()
    make_fetcher(folder, budget or LinkBudget()).fetch(layer, ignore_progress, outcomes.put)
    path = Path(store.card_files(layer)["own"]).with_suffix(".tflite")
    return outcomes.get(timeout=TIMEOUT_S), path


def test_a_model_is_fetched_once_and_nothing_else_is_left(
    server: FileServer, tmp_path: Path
) -> None:
    outcome, path = fetch(tmp_path, version(server))
    assert outcome == FetchedModels()
    assert path.read_bytes() == CONTENT
    assert sorted(one.name for one in path.parent.iterdir()) == ["own.tflite", "own.toml"]
    assert fetch(tmp_path, version(server))[0] == FetchedModels()
    assert len(server.ranges) == 1


def test_it_counts_towards_the_links_bytes_of_the_day(server: FileServer, tmp_path: Path) -> None:
    budget = LinkBudget()
    fetch(tmp_path, version(server), budget)
    assert budget.usage().size_bytes >= len(CONTENT)


def test_progress_is_reported_also_while_it_waits_for_the_bytes_of_the_next_day(
    server: FileServer, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_fetcher, "DAY_RETRY_S", 0)
    server.tags["/own.tflite"] = '"1"'
    steps: list[FetchingModel] = []
    outcomes: queue.SimpleQueue[FetchedModels] = queue.SimpleQueue()

    def report(progress: FetchingModel) -> None:
        steps.append(progress)
        if progress.detail.startswith("waiting"):
            clock.advance_s(86_400)

    layer = version(server)
    DesiredStore(tmp_path).write_files(layer)
    budget = LinkBudget(bytes_per_day=len(CONTENT))
    make_fetcher(tmp_path, budget, clock).fetch(layer, report, outcomes.put)
    assert outcomes.get(timeout=TIMEOUT_S) == FetchedModels()
    first, waiting, resumed, checking = steps
    assert (first.version, first.model, first.progress) == (1, "own", 0)
    assert first.detail == "downloading 0 %"
    assert waiting.detail == "waiting: the bytes of this day are used up ([link] bytes_per_day)"
    assert 0.5 < waiting.progress < 0.8
    assert resumed.progress > waiting.progress
    assert (checking.progress, checking.detail) == (1, "checking")


def test_a_broken_connection_is_resumed(server: FileServer, tmp_path: Path) -> None:
    server.tags["/own.tflite"] = '"1"'
    server.break_after_bytes = [1_000_000]
    outcome, path = fetch(tmp_path, version(server))
    assert outcome == FetchedModels()
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000000-"]


def test_a_file_of_another_hash_is_refused_for_good(server: FileServer, tmp_path: Path) -> None:
    server.files["/own.tflite"] = CONTENT[:-1] + b"x"
    outcome, path = fetch(tmp_path, version(server))
    assert outcome.is_final
    assert "its SHA-256 is another than expected" in outcome.reasons[0]
    assert not path.exists()
    (marker,) = path.parent.glob("*.wrong")
    assert marker.suffixes == [".tflite", ".wrong"]


def test_a_file_of_another_size_is_refused_before_it_is_fetched(
    server: FileServer, tmp_path: Path
) -> None:
    server.files["/own.tflite"] = CONTENT + b"x"
    outcome, _ = fetch(tmp_path, version(server))
    assert outcome.is_final
    assert outcome.reasons[0].endswith(f"{len(CONTENT) + 1} bytes; expected: {len(CONTENT)}")


def test_a_file_that_the_runtime_refuses_is_deleted(server: FileServer, tmp_path: Path) -> None:
    """It has the hash of its card: the office has signed what is no model."""
    content = CONTENT[: len(CONTENT) // 2]
    server.files["/half.tflite"] = content
    outcome, path = fetch(tmp_path, version(server, content, "/half.tflite"))
    assert outcome.is_final
    assert outcome.reasons[0].startswith("models.own: model 'own': the runtime refuses it: ")
    assert [one.name for one in path.parent.iterdir()] == ["own.toml"]


def test_a_file_that_is_missing_is_refused_for_good(server: FileServer, tmp_path: Path) -> None:
    outcome, _ = fetch(tmp_path, version(server, path="/none"))
    assert outcome.is_final
    assert "404" in outcome.reasons[0]


def test_a_later_version_with_the_same_model_waits_for_the_end_of_the_fetch_before(
    server: FileServer, tmp_path: Path
) -> None:
    """Both write one file: bytes of two connections in it would be another file, refused for a day."""
    server.tags["/own.tflite"] = '"1"'
    server.held_until = threading.Event()
    store, layer = DesiredStore(tmp_path), version(server)
    store.write_files(layer)
    fetcher = make_fetcher(tmp_path, LinkBudget())
    first: queue.SimpleQueue[FetchedModels] = queue.SimpleQueue()
    second: queue.SimpleQueue[FetchedModels] = queue.SimpleQueue()
    fetcher.fetch(layer, ignore_progress, first.put)
    assert server.is_holding.wait(TIMEOUT_S)
    fetcher.fetch(ConfigLayer(version=2, models=layer.models), ignore_progress, second.put)
    server.held_until.set()
    assert first.get(timeout=TIMEOUT_S).reasons == (
        "models.own: the fetch is ended: another version is decided",
    )
    assert second.get(timeout=TIMEOUT_S) == FetchedModels()
    assert Path(store.card_files(layer)["own"]).with_suffix(".tflite").read_bytes() == CONTENT


def test_a_length_of_thousands_of_digits_is_refused_and_the_fetch_ends(
    server: FileServer, tmp_path: Path
) -> None:
    server.length = "9" * 5000
    outcome, _ = fetch(tmp_path, version(server))
    assert outcome.is_final
    assert outcome.reasons[0].endswith(": bad Content-Length")


@pytest.mark.parametrize("by", ["address", "name", "redirect"])
def test_a_server_on_the_box_itself_gets_no_request(
    server: FileServer, tmp_path: Path, by: str
) -> None:
    inside = FileServer(server.certificate, "127.0.0.1")
    inside.files["/own.tflite"] = CONTENT
    url = inside.url("/own.tflite")
    if by == "redirect":
        server.redirects["/moved.tflite"], url = url, server.url("/moved.tflite")
    elif by == "name":
        url = url.replace("127.0.0.1", "localhost")
    layer = version(server)
    model = msgspec.structs.replace(layer.models["own"], url=url)
    try:
        outcome, path = fetch(tmp_path, ConfigLayer(version=1, models={"own": model}))
    finally:
        inside.close()
    assert "allowed: a public or private address, not loopback, link-local" in outcome.reasons[0]
    assert not outcome.is_final
    assert not path.exists()
    assert inside.ranges == []


def test_the_query_of_a_signed_address_is_in_no_message(
    server: FileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.redirects["/signed?token=secret"] = server.url("/gone?token=secret")
    for path in ("/signed?token=secret", "/none?token=secret"):
        outcome, _ = fetch(tmp_path, version(server, path=path))
        assert "404" in outcome.reasons[0]
        assert "secret" not in outcome.reasons[0] + caplog.text
    assert "?.." in caplog.text

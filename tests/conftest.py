"""Fixtures of every test."""

import functools
import gc
import logging
import os
import re
import signal
import tempfile
import time
import tomllib
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from agent.base.clock import ClockTrust
from tests.fault_witness import RaisedFaultRecorder

# No test depends on how fast the machine is.
# Without a database: a failing example is stored through a temporary file, a side effect that hides the failure of a pure test.
settings.register_profile(
    "any speed", database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any speed")

SHARED_FOLDER = Path(__file__).parents[2] / "shared"
TESTS_FOLDER = Path(__file__).parent
SHORT_FOLDERS = (TESTS_FOLDER / "documents", TESTS_FOLDER / "parts", TESTS_FOLDER / "pure")
BEGIN_APART = {
    "contracts/test_camera_csi.py": "updates",
    "contracts/test_camera_imx500.py": "whole/test_h",
    "whole/test_pole_page.py": "contracts",
    "whole/test_replay.py": "contracts",
}
"""The machine has one virtual camera: files that use it begin apart, so that no worker waits for another's.

The two longest files begin first, so that neither is left alone at the end.
"""
FAULT_RECORDER = RaisedFaultRecorder()
KEPT_VARIABLES = re.compile(r"PATH|TMPDIR|LD_LIBRARY_PATH|(PYTHON|PYTEST|VIGIE_)\w+")
"""Environment variables that tests take from their caller: programs, places for files, the suite's own switches."""


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # until the tests are collected
    if not hasattr(config, "workerinput"):
        # The workers inherit it.
        _leave_the_callers_surroundings(config)
    _receive_signals(is_worker=hasattr(config, "workerinput"))
    config.addinivalue_line(
        "markers", "raises_fault(*codes): the agent raises these fault codes in this test"
    )


def _leave_the_callers_surroundings(config: pytest.Config) -> None:
    """Drop what the caller's environment would change in a test: language, proxies, folders of a person or a service."""
    home = tempfile.TemporaryDirectory(prefix="vigie-home-")
    config.add_cleanup(home.cleanup)
    kept = {name: value for name, value in os.environ.items() if KEPT_VARIABLES.fullmatch(name)}
    os.environ.clear()
    os.environ.update(kept, HOME=home.name, LANG="C.UTF-8", TZ="UTC")
    time.tzset()
    os.umask(0o022)


def _receive_signals(*, is_worker: bool) -> None:
    """Undo what the caller ignores or blocks, which each child would inherit."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # A process started in the background by a shell without job control inherits SIGINT as ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    if is_worker or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        # The run outlives its terminal, as nohup wants it, and its children begin with the default.
        signal.signal(signal.SIGHUP, lambda *_: None)


def pytest_collection_finish() -> None:
    # Modules and tests stay: to look for garbage among them took a quarter of the collection's CPU, in each worker.
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _place_in_the_run(item.path))


@functools.cache
def _place_in_the_run(file: Path) -> tuple[bool, str]:
    # Many short files go last: they keep all workers busy while the longest others end.
    return any(folder in file.parents for folder in SHORT_FOLDERS), turn_of(file)


def turn_of(file: Path) -> str:
    """Return the place of a test file in the order of files."""
    name = file.relative_to(TESTS_FOLDER, walk_up=True).as_posix()
    return BEGIN_APART.get(name, name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    FAULT_RECORDER.reset()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    yield
    expected_codes = {code for mark in item.iter_markers("raises_fault") for code in mark.args}
    missing = sorted(expected_codes - FAULT_RECORDER.raised_codes())
    if missing:
        pytest.fail(f"the agent did not raise {', '.join(missing)}", pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def _record_faults() -> Generator[None]:
    with FAULT_RECORDER.recording():
        yield


@pytest.fixture(autouse=True)
def _log_filters() -> Generator[None]:
    """A test that calls `vigie run` in this process leaves no rate limit to the log of others."""
    handlers = logging.getLogger().handlers
    filters = [(handler, list(handler.filters)) for handler in handlers]
    yield
    for handler, before in filters:
        handler.filters[:] = before


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hardware",
        action="append",
        default=[],
        metavar="KIND.DRIVER OPTIONS",
        help="hold a device that is there to its contract, such as "
        '\'ptz.visca port = "/dev/ttyUSB0"; model = "ptzoptics"\': the driver, and its options '
        "as in the configuration. A head moves while it is tried.",
    )


def hardware_options(config: pytest.Config, kind: str) -> dict[str, dict[str, Any]]:
    """The drivers of a kind that `--hardware` names, with their options."""
    entries = [text.partition(" ") for text in config.getoption("--hardware")]
    return {
        name.removeprefix(f"{kind}."): tomllib.loads(options.replace(";", "\n"))
        for name, _, options in entries
        if name.startswith(f"{kind}.")
    }


class ManualClock:
    """A clock that only moves when a test advances it."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000
        self.boot_utc = datetime(2026, 11, 25, tzinfo=UTC)
        self.synced = True

    def boottime_ns(self) -> int:
        return self.now_ns

    def unsteered_ns(self) -> int:
        return self.now_ns

    def utc(self, t_ns: int) -> datetime:
        return self.boot_utc + timedelta(microseconds=t_ns // 1000)

    def trust(self) -> ClockTrust:
        return ClockTrust(
            synced=self.synced,
            source="ntp" if self.synced else "none",
            error_s=0.01 if self.synced else None,
        )

    def advance_s(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)

    def step_s(self, seconds: float) -> None:
        """Set UTC; no time passes."""
        self.boot_utc += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real footage, labels and models next to the project."""
    if not SHARED_FOLDER.is_dir():
        pytest.skip(f"needs {SHARED_FOLDER.name}/ next to the project: real footage and labels")
    return SHARED_FOLDER

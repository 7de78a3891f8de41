"""agent.health.health_file: the file with the agent's health for other programs of the box."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.clock import boot_id
from agent.base.health_model import HealthReport, OutboxHealth, Vitals
from agent.health import health_file
from tests.conftest import ManualClock

REPORT = HealthReport(
    uptime_s=5.0,
    version="1",
    vitals=Vitals(
        soc_celsius=None,
        load_1min=0.5,
        memory_available_bytes=None,
        agent_rss_bytes=None,
        state_free_bytes=None,
        state_total_bytes=None,
        footage_free_bytes=None,
        footage_total_bytes=None,
    ),
    stages=(),
    cameras=(),
    detectors=(),
    footage=(),
    outbox=OutboxHealth(
        depth=0, bytes=0, oldest_age_s=None, lost=0, connected=True, centre_listening=True
    ),
    faults=(),
)


def test_the_health_file_of_the_agent_is_read_by_other_programs(
    tmp_path: Path, clock: ManualClock
) -> None:
    folder = tmp_path / "run" / "vigie"
    health_file.write(folder, health_file.make_live(REPORT, clock))
    live = health_file.read(folder)
    assert live is not None
    assert (live.report, live.t_ns, live.time) == (REPORT, clock.now_ns, "2026-11-25T00:00:01.000Z")
    assert [path.name for path in folder.iterdir()] == [health_file.FILE_NAME]
    assert not live.is_stale(clock.now_ns)
    clock.advance_s(health_file.STALE_S)
    assert not live.is_stale(clock.now_ns)
    clock.advance_s(0.1)
    assert live.is_stale(clock.now_ns)


def test_a_health_file_of_another_boot_counts_as_missing(
    tmp_path: Path, clock: ManualClock
) -> None:
    health_file.write(tmp_path, health_file.make_live(REPORT, clock, "another"))
    assert health_file.read(tmp_path) is None
    assert health_file.read(tmp_path, "another") is not None
    assert health_file.read(tmp_path, boot_id()) is None


def test_a_missing_file_gives_no_health(tmp_path: Path) -> None:
    assert health_file.read(tmp_path / "none") is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@given(garbage=st.binary(max_size=200))
def test_garbage_is_no_health(folder: Path, garbage: bytes) -> None:
    (folder / health_file.FILE_NAME).write_bytes(garbage)
    assert health_file.read(folder) is None


def test_unknown_fields_of_a_newer_agent_are_accepted(tmp_path: Path, clock: ManualClock) -> None:
    health_file.write(tmp_path, health_file.make_live(REPORT, clock))
    file = tmp_path / health_file.FILE_NAME
    reported = msgspec.json.decode(file.read_bytes())
    reported["report"]["mood"] = "good"
    file.write_bytes(msgspec.json.encode(reported))
    live = health_file.read(tmp_path)
    assert live is not None
    assert live.report == REPORT


def test_the_folder_is_systemds_if_it_made_one() -> None:
    state = Path("/state")
    assert health_file.get_runtime_dir(state, {}) == state / "run"
    made = {"RUNTIME_DIRECTORY": "/run/vigie"}
    assert health_file.get_runtime_dir(state, made) == Path("/run/vigie")
    several = {"RUNTIME_DIRECTORY": "/run/vigie:/run/other"}
    assert health_file.get_runtime_dir(state, several) == Path("/run/vigie")

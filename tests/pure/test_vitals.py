"""The machine's condition, read from a tree of files; what is not there is unknown."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.report import vitals


def tree(root: Path, **files: str) -> Path:
    for name, text in files.items():
        file = root / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_each_source_is_read(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        proc__loadavg="0.52 0.58 0.59 1/467 10\n",
        proc__meminfo="MemTotal:  8000000 kB\nMemAvailable:    1000 kB\n",
        proc__self__status="Name:\tvigie\nVmRSS:\t   20000 kB\n",
        sys__class__thermal__thermal_zone0__temp="48312\n",
        sys__class__thermal__thermal_zone1__temp="51000\n",
    )
    read = vitals.read(tmp_path, root)
    assert read.load_1min == 0.52
    assert read.memory_available_bytes == 1_024_000
    assert read.agent_rss_bytes == 20_480_000
    assert read.soc_celsius == 51.0
    assert read.disk_free_bytes is not None
    assert read.disk_total_bytes is not None
    assert 0 < read.disk_free_bytes <= read.disk_total_bytes


def test_what_is_not_there_is_unknown_and_never_zero(tmp_path: Path) -> None:
    read = vitals.read(tmp_path / "none", tmp_path)
    assert set(vars_of(read)) == {None}


def vars_of(read: object) -> list[object]:
    return [getattr(read, name) for name in read.__struct_fields__]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tree")


@given(garbage=st.binary(max_size=60))
def test_garbage_in_a_source_is_unknown_or_a_number_and_no_crash(
    folder: Path, garbage: bytes
) -> None:
    for name in ("proc/loadavg", "proc/meminfo", "sys/class/thermal/thermal_zone0/temp"):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(garbage)
    read = vitals.read(folder, folder)
    for value in (read.load_1min, read.memory_available_bytes, read.soc_celsius):
        assert value is None or isinstance(value, float | int)

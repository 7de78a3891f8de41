"""agent.health.vitals: the machine's readings from a tree of files; a missing one is unknown."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.health_model import DiskHealth, LinkHealth
from agent.health.vitals.disk_wear import S_PER_DAY, WearCounter, WearReading, WearRecord, forecast
from agent.health.vitals.machine import MachineMonitor, soc_celsius
from agent.health.vitals.polled_command import INTERVAL_NS, TIMEOUT_NS, PolledCommand
from tests.machine_tree import FakeProcFs

S = 1_000_000_000
NOWHERE = "/nowhere"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def tree(tmp_path: Path, state: Path) -> FakeProcFs:
    return FakeProcFs(tmp_path / "root", state)


def test_each_source_is_read(tree: FakeProcFs, state: Path) -> None:
    tree.write_file("sys/class/thermal/thermal_zone1/temp", "51000")
    tree.write_file("sys/devices/platform/soc/soc:firmware/get_throttled", "50000")
    machine = MachineMonitor(state, tree.root, NOWHERE)
    read = machine.read(0)
    assert read.load_1min == 0.4
    assert read.cores == 4
    assert read.memory_available_bytes == 2_000_000 * 1024
    assert read.memory_total_bytes == 4_000_000 * 1024
    assert read.agent_rss_bytes == 153_600_000
    assert read.soc_celsius == soc_celsius(tree.root) == 51.0
    assert (read.cpu_pressure, read.memory_pressure, read.disk_pressure) == (0.0, 0.0, 0.0)
    assert (read.under_voltage, read.throttled) == (False, False)
    assert (read.under_voltage_since_boot, read.throttled_since_boot) == (True, True)
    assert read.state_free_bytes is not None
    assert read.state_total_bytes is not None
    assert 0 < read.state_free_bytes <= read.state_total_bytes
    assert not read.is_footage_separate
    assert (machine.disk.device, machine.disk.life_used, machine.disk.reserve) == (
        "mmcblk0",
        0.1,
        "normal",
    )
    assert machine.link == LinkHealth(adapter="wwan0", kind="modem", up=True)


def test_a_missing_source_is_unknown_and_never_zero(tmp_path: Path) -> None:
    machine = MachineMonitor(tmp_path / "none", tmp_path, NOWHERE)
    read = machine.read(0)
    assert {getattr(read, name) for name in read.__struct_fields__} == {None, ()}
    assert (machine.disk, machine.link) == (DiskHealth(), LinkHealth())


def test_ports_and_supplies_are_reported_also_without_a_default_route(
    tree: FakeProcFs, state: Path
) -> None:
    tree.remove_file("proc/net/route")
    for file, text in (
        ("device/modalias", ""),
        ("carrier", "1"),
        ("speed", "10"),
        ("duplex", "half"),
    ):
        tree.write_file(f"sys/class/net/eth0/{file}", text)
    tree.write_file("sys/class/net/eth0/statistics/rx_crc_errors", "7")
    tree.write_file("sys/class/power_supply/poe/online", "1")
    tree.write_file("sys/class/power_supply/poe/current_now", "1250000")
    monitor = MachineMonitor(state, tree.root)
    vitals = monitor.read(0)
    (port,), (supply,) = monitor.link.ports, vitals.supplies
    assert (port.name, port.speed_mbit_s, port.duplex) == ("eth0", 10, "half")
    assert (port.rx_crc_errors, port.rx_errors) == (7, None)
    assert (supply.name, supply.is_online, supply.amperes) == ("poe", True, 1.25)
    monitor.close()


def test_the_supply_alarm_is_used_if_the_firmware_reports_nothing(
    tree: FakeProcFs, state: Path
) -> None:
    tree.remove_file("sys/devices/platform/soc/soc:firmware/get_throttled")
    tree.write_file("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1")
    read = MachineMonitor(state, tree.root, NOWHERE).read(0)
    assert (read.under_voltage, read.throttled, read.throttled_since_boot) == (True, None, None)


def program(folder: Path, name: str, script: str) -> str:
    """A program of that name, and the path that it is found by."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(folder)


def message(tool: PolledCommand, begin_ns: int = 0) -> bytes | None:
    """Return the output of a command that has ended."""
    tool.read(begin_ns)
    process = tool._process
    assert process is not None
    process.wait(60)
    return tool.read(begin_ns + S)


def test_an_external_program_is_polled_without_blocking(tmp_path: Path) -> None:
    path = program(tmp_path, "vcgencmd", "echo throttled=0x50005; cat /dev/null")
    tool = PolledCommand(["vcgencmd", "get_throttled"], path)
    assert tool.read(0) is None
    tool.close()
    assert message(PolledCommand(["vcgencmd"], path)) == b"throttled=0x50005\n"


def test_a_program_that_fails_hangs_or_is_missing_gives_no_reading(tmp_path: Path) -> None:
    assert message(PolledCommand(["fails"], program(tmp_path, "fails", "echo 1; exit 3"))) is None
    assert PolledCommand(["nobody"], str(tmp_path)).read(0) is None
    hangs = PolledCommand(["hangs"], program(tmp_path, "hangs", "exec sleep 1000"))
    hangs.read(0)
    process = hangs._process
    assert process is not None
    assert hangs.read(TIMEOUT_NS - 1) is None
    assert process.poll() is None
    hangs.read(TIMEOUT_NS)
    assert process.wait(60) != 0
    assert hangs.read(TIMEOUT_NS + S) is None
    hangs.read(INTERVAL_NS)
    assert hangs._process not in (None, process)
    hangs.close()


def test_bytes_written_are_counted_across_restarts_and_boots() -> None:
    first = WearCounter(None)
    first.update(WearReading(disk="a", t_ns=0, boot_written_bytes=1000, life_used=0.1))
    first.update(WearReading(disk="a", t_ns=60 * S, boot_written_bytes=5000, life_used=0.1))
    after_boot = WearCounter(first.record)
    after_boot.update(WearReading(disk="a", t_ns=0, boot_written_bytes=70, life_used=0.1))
    book = after_boot.update(
        WearReading(disk="a", t_ns=40 * S, boot_written_bytes=170, life_used=0.1)
    )
    assert (book.written_bytes, book.counted_s) == (4100, 100.0)
    other = after_boot.update(
        WearReading(disk="b", t_ns=50 * S, boot_written_bytes=900, life_used=None)
    )
    assert other == WearRecord(disk="b")


def test_the_days_left_come_from_the_wear_register_once_it_has_moved() -> None:
    year = WearRecord(
        disk="a", written_bytes=10**12, counted_s=365 * S_PER_DAY, first_step_life_used=0.1
    )
    ahead = forecast(year, 0.3, 32 * 10**9)
    assert ahead.days_left_basis == "register"
    assert ahead.days_left == pytest.approx(365 * 0.7 / 0.2)
    still = forecast(year, 0.1, 32 * 10**9)
    assert still.days_left_basis == "capacity"
    assert still.days_left == pytest.approx((32 * 10**12 - 10**12) * 0.9 / (10**12 / 365))
    without = forecast(year, None, None)
    assert (without.days_left, without.days_left_basis) == (None, None)
    assert without.written_bytes_per_day == pytest.approx(10**12 / 365)


def test_a_record_that_begins_in_the_middle_of_a_step_of_the_register_gives_no_early_end() -> None:
    """A box is flashed again at half of its disk's life, two days before the register moves, and again a year later."""
    counter, step_day = WearCounter(None), 367
    for day in range(step_day + 1):
        life_used = 0.5 if day < 2 else 0.6 if day < step_day else 0.7
        reading = WearReading(
            disk="a", t_ns=day * 86_400 * S, boot_written_bytes=day * 10**9, life_used=life_used
        )
        ahead = forecast(counter.update(reading), life_used, 32 * 10**9)
        if 1 <= day < step_day:
            assert (ahead.days_left or 0) > 1000
            assert ahead.days_left_basis == "capacity"
    assert ahead.days_left_basis == "register"
    assert ahead.days_left == pytest.approx(365 * 0.3 / 0.1)


def test_less_than_a_day_of_writes_gives_no_forecast() -> None:
    hour = WearRecord(disk="a", written_bytes=10**9, counted_s=3600.0, life_used=0.1)
    assert forecast(hour, 0.9, 10**9).days_left is None


def test_the_wear_record_of_a_disk_survives_a_restart(tree: FakeProcFs, state: Path) -> None:
    machine = MachineMonitor(state, tree.root, NOWHERE)
    machine.read(0)
    tree.set_written_sectors(2000)
    machine.read(10 * S)
    assert machine.disk.written_bytes == 2000 * 512
    machine.close()
    tree.set_written_sectors(100)  # Another boot.
    again = MachineMonitor(state, tree.root, NOWHERE)
    again.read(0)
    tree.set_written_sectors(150)
    again.read(10 * S)
    assert again.disk.written_bytes == 2050 * 512


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tree")


SOURCES = (
    "proc/loadavg",
    "proc/meminfo",
    "proc/pressure/memory",
    "proc/net/route",
    "sys/class/thermal/thermal_zone0/temp",
    "sys/devices/platform/soc/soc:firmware/get_throttled",
    "sys/devices/system/cpu/online",
    "state/disk-wear.json",
)


@given(garbage=st.lists(st.binary(max_size=60), min_size=len(SOURCES), max_size=len(SOURCES)))
def test_garbage_in_every_source_gives_a_number_or_unknown(
    folder: Path, garbage: list[bytes]
) -> None:
    for name, data in zip(SOURCES, garbage, strict=True):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    read = MachineMonitor(folder / "state", folder, NOWHERE).read(0)
    for value in (read.load_1min, read.memory_available_bytes, read.soc_celsius, read.cores):
        assert value is None or isinstance(value, float | int)

"""agent.console.machine_checks: a board, a disk and network interfaces, from files that the tests write."""

import os
import re
from datetime import datetime
from pathlib import Path

import pytest

from agent.console import checks, machine_checks, network_checks, usb_export
from tests.parts.test_slots import write_build_time


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMORY = "MemTotal: 2000000 kB\nMemAvailable: {free} kB\n"


@pytest.mark.parametrize(
    ("throttled", "millidegrees", "free", "load", "codes"),
    [
        ("0", "51000", 900_000, "0.4", []),
        ("50000", "51000", 900_000, "0.4", []),
        ("50005", "51000", 900_000, "0.4", ["SYS-03"]),
        ("0", "86000", 900_000, "0.4", ["SYS-02"]),
        ("0", "51000", 150_000, "0.4", ["SYS-04"]),
        ("0", "51000", 900_000, "12.0", ["SYS-05"]),
    ],
)
def test_each_board_fault_has_its_code(
    tmp_path: Path, throttled: str, millidegrees: str, free: int, load: str, codes: list[str]
) -> None:
    root = write(
        tmp_path,
        {
            "sys/devices/platform/soc/soc:firmware/get_throttled": throttled,
            "sys/class/thermal/thermal_zone0/temp": millidegrees,
            "proc/meminfo": MEMORY.format(free=free),
            "proc/loadavg": f"{load} 0.1 0.1 1/200 4242\n",
            "sys/devices/system/cpu/online": "0-3\n",
        },
    )
    found = list(machine_checks.check_board(root))
    assert [verdict.code for verdict in found if verdict.ok is False] == codes
    assert len(found) == 4


def test_a_board_without_readings_is_unknown_and_not_good(tmp_path: Path) -> None:
    assert [verdict.ok for verdict in machine_checks.check_board(tmp_path)] == [None] * 4


@pytest.mark.parametrize(("built", "ok"), [("2025-03-10", True), ("2024-09-23", False)])
def test_a_boot_loader_that_is_too_old_for_two_slots_is_reported(
    tmp_path: Path, built: str, ok: bool
) -> None:
    write_build_time(tmp_path / "proc/device-tree", datetime.fromisoformat(f"{built}T12:00:00Z"))
    *_, verdict = machine_checks.check_board(tmp_path)
    assert (str(verdict.subject), verdict.ok) == ("boot loader", ok)
    assert ok or built in str(verdict.message)


def test_the_disk_check_writes_and_leaves_no_file(tmp_path: Path) -> None:
    assert [found.ok for found in machine_checks.check_disks(tmp_path, tmp_path / "footage")] == [
        True
    ]
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_is_a_fault() -> None:
    (verdict,) = machine_checks.check_disks(Path("/proc/nowhere"), Path("/proc/nowhere/footage"))
    assert (verdict.ok, verdict.code) == (False, "STO-02")


def test_a_box_without_a_network_gets_advice(tmp_path: Path) -> None:
    found = list(network_checks.check_interfaces(tmp_path, needs_route=False))
    assert (found[0].ok, found[0].code) == (False, "NET-01")
    assert str(found[-1].subject) == "default route"


def test_an_interface_without_an_address_fails_its_check(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "sys/class/net/wwan9/operstate": "up\n",
            "sys/class/net/wwan9/carrier": "1\n",
            "proc/net/route": "Iface\tDestination\tGateway\tFlags\n"
            "wwan9\t00000000\t0101A8C0\t0003\t0\n",
        },
    )
    interface, address, way_out = network_checks.check_interfaces(root, needs_route=False)
    assert interface.ok is None
    assert (address.ok, address.code) == (False, "NET-01")
    assert str(way_out.message) == "by 192.168.1.1 over wwan9"


def test_a_box_without_a_gateway_that_cannot_reach_its_broker_gets_advice_on_the_gateway(
    tmp_path: Path,
) -> None:
    way_out = list(network_checks.check_interfaces(tmp_path, needs_route=True))[-1]
    assert (str(way_out.subject), way_out.ok, way_out.code) == ("default route", False, None)
    assert "gateway" in str(way_out.advice)


def test_a_full_disk_names_its_largest_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"journal/old": "x" * 300_000, "footage/a": "x" * 9_000})
    real = os.statvfs

    def full(path: str) -> os.statvfs_result:
        fields = list(real(path))
        fields[:5] = [4096, 4096, 10_000_000, 1000, 1000]
        return os.statvfs_result(fields)

    monkeypatch.setattr(os, "statvfs", full)
    verdict, *_ = machine_checks.check_disks(tmp_path, tmp_path / "footage")
    assert re.search(r"the largest: journal 3\d\d\.\d kB, footage", str(verdict.message))


@pytest.mark.parametrize("route", ["", "x\n", "a b c d\n", "wwan0\t00000000\tzz\t3\n"])
def test_a_malformed_route_table_does_not_crash_the_check(tmp_path: Path, route: str) -> None:
    root = write(tmp_path, {"proc/net/route": f"Iface\n{route}", "proc/net/if_inet6": route})
    assert list(network_checks.check_interfaces(root, needs_route=False))[-1].ok is None


def test_a_usb_disk_is_recognised_by_its_mount_point(tmp_path: Path) -> None:
    stick = tmp_path / "media" / "my stick"
    stick.mkdir(parents=True)
    (tmp_path / "media/ram").mkdir()
    mounts = (
        "/dev/root / ext4 rw 0 0\n/dev/sda1 /media/my\\040stick vfat rw 0 0\n"
        "tmpfs /media/ram tmpfs rw 0 0\n/dev/sdb1 /mnt/gone vfat rw 0 0\nx\n"
    )
    root = write(tmp_path, {"proc/self/mounts": mounts})
    assert usb_export.list_usb_mounts(root) == (stick,)
    assert usb_export.list_usb_mounts(tmp_path / "none") == ()


PORT = {
    "device/modalias": "",
    "carrier": "1",
    "speed": "1000",
    "duplex": "full",
    "carrier_changes": "1",
    "statistics/rx_errors": "0",
    "statistics/tx_errors": "0",
    "statistics/rx_dropped": "2",
    "statistics/tx_dropped": "1",
    "statistics/rx_crc_errors": "0",
}


def write_port(root: Path, changes: dict[str, str], name: str = "eth0") -> Path:
    return write(
        root, {f"sys/class/net/{name}/{file}": text for file, text in {**PORT, **changes}.items()}
    )


@pytest.mark.parametrize(
    ("changes", "ok", "words", "remedy"),
    [
        ({}, True, "1000 Mbit/s, full duplex, link changes: 1", None),
        ({}, True, "CRC errors: 0, dropped: 3", None),
        ({"speed": "100"}, True, "100 Mbit/s", None),
        ({"speed": "10"}, False, "10 Mbit/s", "another cable"),
        ({"speed": "100", "duplex": "half"}, False, "half duplex", "automatic"),
        ({"speed": "-1", "duplex": "unknown"}, None, "no speed reported, link changes: 1", None),
        ({"statistics/rx_crc_errors": "7"}, True, "CRC errors: 7", None),
    ],
)
def test_a_degraded_port_fails_its_check_and_shows_the_remedy(
    tmp_path: Path, changes: dict[str, str], ok: bool | None, words: str, remedy: str | None
) -> None:
    (verdict,) = checks.check_ports(write_port(tmp_path, changes), lambda _pause_s: None)
    assert (str(verdict.subject), verdict.ok) == ("port eth0", ok)
    assert words in str(verdict.message)
    assert (remedy is None and verdict.advice is None) or str(remedy) in str(verdict.advice)


def test_crc_errors_fail_the_check_while_they_rise(tmp_path: Path) -> None:
    counts = iter(("12", "12"))

    def pause(_pause_s: float) -> None:
        write_port(tmp_path, {"statistics/rx_crc_errors": next(counts)})

    write_port(tmp_path, {"statistics/rx_crc_errors": "7"})
    (rising,) = checks.check_ports(tmp_path, pause)
    assert rising.ok is False
    assert "5 CRC errors in 3 s" in str(rising.message)
    assert "another cable" in str(rising.advice)
    (steady,) = checks.check_ports(tmp_path, pause)
    assert steady.ok is True


def test_only_wired_ports_with_a_carrier_are_checked(tmp_path: Path) -> None:
    write_port(tmp_path, {"carrier": "0"}, "eth0")
    write_port(tmp_path, {"wireless/status": ""}, "wlan0")
    write_port(tmp_path, {}, "wwan0")
    write(tmp_path, {"sys/class/net/docker0/carrier": "1"})
    write_port(tmp_path, {}, "eth1")
    assert [str(one.subject) for one in checks.check_ports(tmp_path)] == ["port eth1"]


POE = {"type": "Mains", "online": "1", "health": "Good", "current_now": "1250000"}
BATTERY = {
    "type": "Battery",
    "status": "Discharging",
    "voltage_now": "12340000",
    "current_now": "-1500000",
    "capacity": "81",
    "time_to_empty_now": "5400",
}


@pytest.mark.parametrize(
    ("files", "ok", "message"),
    [
        (POE, True, "on, 1.25 A"),
        ({**POE, "health": "Overheat"}, False, "on, reports Overheat, 1.25 A"),
        ({**POE, "online": "0", "current_now": "0"}, None, "off, 0.00 A"),
        (BATTERY, True, "discharging, 12.34 V, -1.50 A, 81 % charged, 1 h 30 min left"),
        (
            {**BATTERY, "time_to_empty_now": "540"},
            False,
            "discharging, 12.34 V, -1.50 A, 81 % charged, 9 min left",
        ),
        ({"status": "Discharging", "capacity": "9"}, False, "discharging, 9 % charged"),
        ({"status": "Charging", "capacity": "9"}, True, "charging, 9 % charged"),
    ],
)
def test_a_supply_is_shown_with_what_it_reports(
    tmp_path: Path, files: dict[str, str], ok: bool | None, message: str
) -> None:
    folder = "sys/class/power_supply/ups"
    write(tmp_path, {f"{folder}/{name}": f"{text}\n" for name, text in files.items()})
    verdict = list(machine_checks.check_board(tmp_path))[1]
    assert (str(verdict.subject), verdict.ok) == ("supply ups", ok)
    assert str(verdict.message) == message
    assert bool(verdict.advice) is (ok is False)


def test_a_power_monitor_on_the_supplys_line_shows_volts_and_amperes(tmp_path: Path) -> None:
    folder = "sys/class/hwmon/hwmon2"
    files = {"name": "ina219", "in1_input": "5096", "curr1_input": "1830"}
    write(tmp_path, {f"{folder}/{name}": f"{text}\n" for name, text in files.items()})
    write(tmp_path, {"sys/class/hwmon/hwmon1/name": "rpi_volt\n"})
    write(tmp_path, {"sys/class/power_supply/empty/type": "Battery\n"})
    verdicts = [one for one in machine_checks.check_board(tmp_path) if one.ok is not None]
    assert [(str(one.subject), str(one.message)) for one in verdicts] == [
        ("supply ina219", "5.10 V, 1.83 A")
    ]

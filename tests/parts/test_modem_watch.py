"""`net modem`: the signal each second with its best, from a program in mmcli's place."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import ManualClock
from tests.parts.console_rig import ConsoleRig

REPORT = '{"modem":{"signal":{"lte":{"rsrp":"%s","rsrq":"-9.00","snr":"8.00"}}}}'
QUALITY = '{"modem":{"generic":{"signal-quality":{"value":"%s"},"access-technologies":["lte"]},"3gpp":{}}}'
MMCLI = """#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >> orders
case "$*" in
*--signal-setup=*) {setup} ;;
*) reports=$(ls report-*) && set -- $reports && cat "$1" && {{ [ $# -eq 1 ] || rm "$1"; }} ;;
esac
"""


@pytest.fixture
def rig(clock: ManualClock, tmp_path: Path) -> ConsoleRig:
    return ConsoleRig(clock, tmp_path)


def watch(rig: ConsoleRig, reports: Sequence[str], keys: bytes, setup: str = "true") -> str:
    """Let mmcli print report after report while the technician presses keys; return the screen."""
    folder = rig.root / "usr/bin"
    for number, report in enumerate(reports):
        (folder / f"report-{number}").write_text(report)
    (folder / "mmcli").write_text(MMCLI.format(setup=setup))
    (folder / "mmcli").chmod(0o755)
    return rig.run_logged_in("net modem", keys=keys).replace("\r", "\n")


def orders(rig: ConsoleRig) -> list[str]:
    return (rig.root / "usr/bin/orders").read_text().splitlines()


def readings(screen: str) -> list[str]:
    return [line.strip() for line in screen.splitlines() if "(best" in line]


def test_the_best_signal_is_held_while_the_antenna_is_turned(rig: ConsoleRig) -> None:
    screen = watch(rig, [REPORT % dbm for dbm in ("-98.00", "-91.00", "-104.00")], b"  q")
    assert readings(screen) == [
        "lte, RSRP -98 (best -98) dBm, RSRQ -9 (best -9) dB, SINR 8 (best 8) dB",
        "lte, RSRP -91 (best -91) dBm, RSRQ -9 (best -9) dB, SINR 8 (best 8) dB",
        "lte, RSRP -104 (best -91) dBm, RSRQ -9 (best -9) dB, SINR 8 (best 8) dB",
    ]


def test_r_forgets_the_best(rig: ConsoleRig) -> None:
    screen = watch(rig, [REPORT % dbm for dbm in ("-91.00", "-104.00")], b"rq")
    assert "RSRP -104 (best -104) dBm" in readings(screen)[-1]


def test_modemmanager_measures_each_second_only_while_the_command_runs(rig: ConsoleRig) -> None:
    watch(rig, [REPORT % "-91.00"], b" q")
    first, *between, last = orders(rig)
    assert (first, last) == ("--modem=any --signal-setup=1", "--modem=any --signal-setup=0")
    assert set(between) == {"--modem=any --signal-get --output-json"}


def test_without_the_right_to_measure_the_signal_in_percent_is_shown(rig: ConsoleRig) -> None:
    refused = 'echo "error: Unauthorized" >&2; exit 1'
    screen = watch(rig, [QUALITY % percent for percent in ("67", "41")], b" q", refused)
    assert "Only the signal in percent: mmcli: error: Unauthorized" in screen
    assert readings(screen) == ["lte, signal 67 (best 67) %", "lte, signal 41 (best 67) %"]


def test_a_modem_that_measures_nothing_says_so(rig: ConsoleRig) -> None:
    assert "the modem reports no signal" in watch(rig, [REPORT.replace("lte", "cdma1x")], b"q")


@pytest.mark.parametrize(
    "program", [None, '#!/bin/sh\necho "error: couldn\'t find modem" >&2; exit 1\n']
)
def test_a_box_without_a_modem_says_so_in_one_line(rig: ConsoleRig, program: str | None) -> None:
    if program is not None:
        (rig.root / "usr/bin/mmcli").write_text(program)
        (rig.root / "usr/bin/mmcli").chmod(0o755)
    screen = rig.run_logged_in("net modem")
    assert ("find modem" if program else "is not on this system") in screen.replace("\n", "")
    assert "percent" not in screen
    assert "antenna" not in screen

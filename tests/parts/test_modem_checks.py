"""agent.console.modem_checks on the output of ModemManager."""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.console import modem_checks
from agent.console.check_result import CheckResult
from agent.console.terminal import sanitize

SIM = "/org/freedesktop/ModemManager1/SIM/0"
GENERIC: dict[str, Any] = {
    "access-technologies": ["lte"],
    "current-modes": "allowed: 2g, 3g, 4g; preferred: 4g",
    "manufacturer": "QUALCOMM INCORPORATED",
    "model": "EC25",
    "power-state": "on",
    "signal-quality": {"recent": "yes", "value": "67"},
    "sim": SIM,
    "state": "connected",
    "state-failed-reason": "--",
    "unlock-required": "sim-pin2",
    "unlock-retries": ["sim-pin (3)", "sim-pin2 (0)"],
}
CELL = {"operator-code": "60401", "operator-name": "IAM", "registration-state": "home"}


def reported(generic: Mapping[str, Any] = {}, cell: Mapping[str, Any] = {}) -> bytes:
    inner = {"3gpp": {**CELL, **cell}, "generic": {**GENERIC, **generic}, "dbus-path": "/x"}
    return json.dumps({"modem": inner}).encode()


def shown(verdicts: list[CheckResult]) -> list[tuple[str, bool | None, str]]:
    return [(str(one.subject).split()[0], one.ok, str(one.message)) for one in verdicts]


def test_a_good_modem_passes_each_step() -> None:
    found = list(modem_checks.evaluate_modem(reported()))
    assert str(found[0].subject) == "modem QUALCOMM INCORPORATED EC25"
    assert shown(found) == [
        ("modem", True, "connected"),
        ("SIM", True, "ready"),
        ("network", True, "IAM, lte, home"),
        ("signal", True, "67%"),
    ]


@pytest.mark.parametrize(
    ("generic", "cell", "what", "message"),
    [
        ({"state": "failed", "state-failed-reason": "sim-missing", "sim": "--"}, {}, "SIM", "none"),
        ({"state": "locked", "unlock-required": "sim-pin"}, {}, "SIM", "locked: sim-pin"),
        ({"state": "locked", "unlock-required": "sim-puk"}, {}, "SIM", "locked: sim-puk"),
        ({"state": "failed", "state-failed-reason": "sim-error"}, {}, "SIM", "cannot be read"),
        ({"state": "searching"}, {"registration-state": "searching"}, "network", "searching"),
        ({"state": "enabled"}, {"registration-state": "denied"}, "network", "denied"),
        ({"state": "registered"}, {}, "modem", "registered, but not connected"),
        ({"state": "disabled", "power-state": "low"}, {}, "modem", "switched off"),
        ({"signal-quality": {"recent": "yes", "value": "4"}}, {}, "signal", "4%"),
    ],
)
def test_a_modem_fault_fails_its_check_and_shows_the_remedy(
    generic: Mapping[str, Any], cell: Mapping[str, Any], what: str, message: str
) -> None:
    bad = [one for one in modem_checks.evaluate_modem(reported(generic, cell)) if one.ok is False]
    (found,) = (one for one in bad if str(one.subject).split()[0] == what)
    assert message in str(found.message)
    assert found.advice


@pytest.mark.parametrize(
    ("generic", "cell", "expected"),
    [
        ({"signal-quality": {"value": "20"}}, {}, ("signal", True, "20%, weak")),
        (
            {"signal-quality": {"value": "--"}, "access-technologies": []},
            {},
            ("signal", None, "unknown"),
        ),
        (
            {},
            {"registration-state": "roaming", "operator-name": "--"},
            ("network", True, "60401, lte, roaming"),
        ),
        ({"unlock-required": "none"}, {}, ("SIM", True, "ready")),
        ({"unlock-required": "--"}, {}, ("SIM", True, "ready")),
        ({}, {"registration-state": "--"}, ("network", None, "IAM, lte")),
    ],
)
def test_a_missing_value_is_unknown_and_a_weak_signal_is_reported(
    generic: Mapping[str, Any], cell: Mapping[str, Any], expected: tuple[str, bool | None, str]
) -> None:
    assert expected in shown(list(modem_checks.evaluate_modem(reported(generic, cell))))


def program(folder: Path, text: str) -> Path:
    """Write a program in mmcli's place, and return the root folder."""
    file = folder / "usr/bin/mmcli"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return folder


@pytest.mark.parametrize("names", [[], ["eth0", "wlan0"]])
def test_an_absent_modem_is_reported(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / "sys/class/net" / name).mkdir(parents=True)
    none = [("modem", None, "none")]
    assert shown(list(modem_checks.check_modem(tmp_path))) == none
    requested = program(tmp_path, 'echo "error: couldn\'t find modem" >&2; exit 1')
    assert shown(list(modem_checks.check_modem(requested))) == none


def test_an_unreachable_modemmanager_is_named(tmp_path: Path) -> None:
    (tmp_path / "sys/class/net/wwan0").mkdir(parents=True)
    (verdict,) = modem_checks.check_modem(tmp_path)
    assert str(verdict.message) == "wwan0: no ModemManager on this box to query it"
    requested = program(tmp_path, 'echo "error: couldn\'t find modem" >&2; exit 1')
    (verdict,) = modem_checks.check_modem(requested)
    assert str(verdict.message) == "wwan0: ModemManager finds no modem behind it"


def test_the_programs_output_is_checked_and_its_failure_reported(tmp_path: Path) -> None:
    (tmp_path / "said").write_bytes(reported())
    good = modem_checks.check_modem(program(tmp_path, f"cat {tmp_path}/said"))
    assert [one.ok for one in good] == [True] * 4
    (verdict,) = modem_checks.check_modem(program(tmp_path, "echo 'error: no manager' >&2; exit 1"))
    assert (verdict.ok, str(verdict.message)) == (None, "mmcli: error: no manager")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*GENERIC, *CELL, "value", "x"]), inner, max_size=6)
    ),
)


@given(
    st.one_of(
        st.binary(max_size=200),
        JSON.map(lambda value: json.dumps(value).encode()),
        JSON.map(lambda value: json.dumps({"modem": {"generic": value, "3gpp": value}}).encode()),
        st.dictionaries(st.sampled_from(list(GENERIC)), st.text(max_size=80)).map(reported),
        st.dictionaries(st.sampled_from(list(CELL)), st.text(max_size=80)).map(
            lambda cell: reported({}, cell)
        ),
    )
)
def test_any_output_gives_results_that_fit_a_screen(data: bytes) -> None:
    found = list(modem_checks.evaluate_modem(data))
    assert found
    assert all(len(str(one.subject)) + len(str(one.message)) < 600 for one in found)
    assert all(sanitize(str(one.message)).isprintable() for one in found)


def test_truncated_and_corrupted_output_gives_results() -> None:
    rng = random.Random(8)
    good = reported()
    for _ in range(20_000):
        data = bytearray(good[: rng.randrange(len(good))] if rng.random() < 0.3 else good)
        for _ in range(rng.randrange(1, 6)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        assert list(modem_checks.evaluate_modem(bytes(data)))

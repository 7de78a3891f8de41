"""The units, started for real: kills and starvation of the agent, and the time until it records again."""

import os
import signal
import threading
import time
from pathlib import Path

import msgspec
import pytest

from agent.health.health_file import LiveHealth
from agent.recording.segment_name import parse_segment_name
from tests.systemd.container import Container, skip_reason
from tests.systemd.starving import limited_resource

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason())),
]

BACK_WITHIN_S = 10.0
AGENT = "vigie-agent.service"
FRAGMENT = b"moof"


def newest(container: Container) -> tuple[str, int]:
    """The newest segment that holds a whole fragment, and how many it holds."""
    folder = container.root / "var/lib/vigie/footage/north"
    for file in sorted(folder.glob("*.mp4*"), reverse=True):
        try:
            fragments = file.read_bytes().count(FRAGMENT)
        except FileNotFoundError:
            continue  # it was closed and renamed while we looked
        if fragments:
            return file.name.removesuffix(".part"), fragments
    return "", 0


def recording(container: Container) -> int:
    """The agent's process, once it records."""
    before = newest(container)
    container.wait_for(lambda: newest(container) > before, "footage")
    return container.wait_for(lambda: container.pid(AGENT), "agent")


def back_after_s(container: Container, since_s: float, before: tuple[str, int]) -> float:
    """The time from a moment until the first video that was not on the disk before. `since_s` is since
    the boot, like the begin in the names of segments.
    """
    container.wait_for(lambda: newest(container) > before, "new footage")
    name, _ = newest(container)
    if name == before[0]:
        return boot_s() - since_s
    segment = parse_segment_name(name)
    assert segment is not None
    return segment.begin_ms / 1e3 - since_s


def why_restarted(container: Container) -> str:
    """Return the report's text on the end of the run before."""
    message = (container.root / "run/vigie/health.json").read_bytes()
    live = msgspec.json.decode(
        message, type=LiveHealth
    )  # the container's boot has a name of its own
    return "".join(fault.detail for fault in live.report.faults if fault.code == "SYS-06")


def boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def test_the_agent_runs_as_its_own_user_without_rights_and_records(container: Container) -> None:
    pid = recording(container)
    status = Path(f"/proc/{pid}/status").read_text()
    owner = Path(f"/proc/{pid}").stat().st_uid
    assert container.run("id", "-un", str(owner)).strip() == "vigie"
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "Seccomp:\t2" in status


def test_no_unit_enabled_at_first_fails(container: Container) -> None:
    failed = container.run("systemctl", "list-units", "--failed", "--plain", "--no-legend")
    names = [line.split()[0] for line in failed.splitlines()]
    assert [name for name in names if name.startswith("vigie")] == []
    timers = container.run("systemctl", "list-timers", "--all", "--no-pager")
    for name in ("selftest", "attest", "logs"):
        assert f"vigie-{name}.timer" in timers


def test_systemd_and_journald_know_every_setting(container: Container) -> None:
    message = container.run("journalctl", "--no-pager", "--output=cat")
    complaints = [line for line in message.splitlines() if "/usr/local/lib" in line]
    assert complaints == []


@pytest.mark.parametrize(
    ("number", "noticed", "cause"),
    [
        (
            signal.SIGKILL,
            "status=9/KILL",
            "crash: the agent ended without stopping in order; systemd reports",
        ),
        (signal.SIGSTOP, "Watchdog timeout", "watchdog: systemd killed the agent"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_an_agent_that_is_killed_or_stopped_records_again_within_10_s_and_its_guard_has_acted(
    container: Container, number: signal.Signals, noticed: str, cause: str
) -> None:
    pid, message = recording(container), container.journal(AGENT)
    since_s, before = boot_s(), newest(container)
    os.kill(pid, number)
    assert back_after_s(container, since_s, before) < BACK_WITHIN_S
    assert container.pid(AGENT) not in (None, pid)
    new = container.journal(AGENT).removeprefix(message)
    assert noticed in new
    assert "guard: head mast: stopped" in new
    assert "guard: pin fan: inactive" in new
    container.wait_for(lambda: cause in why_restarted(container), f"report of {cause}")
    if number == signal.SIGSTOP:
        assert "Fatal Python error: Aborted" in new
        assert ", line " in new, "where the threads stood, as far as they could still be told"


def test_an_agent_that_is_starved_of_memory_is_killed_and_records_again_within_10_s(
    container: Container,
) -> None:
    pid = recording(container)
    with limited_resource(container, AGENT, pid, "memory"):
        container.wait_for(lambda: not Path(f"/proc/{pid}").exists(), "end of the agent")
        since_s, before = boot_s(), newest(container)
        assert back_after_s(container, since_s, before) < BACK_WITHIN_S


def test_an_agent_that_is_starved_of_processor_records_within_10_s_of_its_end(
    container: Container,
) -> None:
    """A hundredth of a core: its watchdog may kill it or not, and it must not stay away."""
    pid = recording(container)
    with limited_resource(container, AGENT, pid, "cpu"):
        threading.Event().wait(8)  # longer than its watchdog waits
    since_s, before = boot_s(), newest(container)
    assert back_after_s(container, since_s, before) < BACK_WITHIN_S


def test_an_agent_is_started_again_however_often_it_dies(container: Container) -> None:
    for _ in range(6):  # systemd's own limit is five in 10 s
        pid = container.wait_for(lambda: container.pid(AGENT), "agent")
        os.kill(pid, signal.SIGKILL)
        container.wait_for(lambda pid=pid: container.pid(AGENT) not in (None, pid), "next agent")
    assert recording(container)


def test_the_agent_stops_on_request_and_leaves_nothing_behind(container: Container) -> None:
    recording(container)
    container.run("systemctl", "stop", AGENT)
    try:
        assert container.unit_property(AGENT, "Result") == "success"
        assert "vigie" not in container.run("ps", "-eo", "user")
        footage = container.root / "var/lib/vigie/footage/north"
        assert not list(footage.glob("*.part"))
    finally:
        container.run("systemctl", "start", AGENT)


def test_a_boot_is_marked_good_once_every_check_has_passed(container: Container) -> None:
    container.wait_for(
        lambda: container.unit_property("vigie-boot-good.service", "ActiveState") == "active",
        "good boot",
    )
    assert "good; rauc is not installed" in container.journal("vigie-boot-good.service")


def test_footage_is_attested(container: Container) -> None:
    recording(container)
    container.run("systemctl", "start", "vigie-attest.service")
    assert "north:" in container.journal("vigie-attest.service")


def test_the_journal_is_rotated(container: Container) -> None:
    container.run("systemctl", "start", "vigie-logs.service")
    folder = next((container.root / "var/log/journal").iterdir())
    assert [file for file in folder.iterdir() if file.name.startswith("system@")]


def test_the_agent_may_reach_only_what_it_is_configured_for(container: Container) -> None:
    def is_filtered() -> bool:
        return "127.0.0.0/8" in container.unit_property(AGENT, "IPAddressAllow")

    container.wait_for(is_filtered, "network filter")
    assert "0.0.0.0/0" in container.unit_property(AGENT, "IPAddressDeny")
    file = container.root / "etc/vigie/vigie.toml"
    text = file.read_text()
    try:
        file.write_text(text.replace("mqtt://127.0.0.1", "mqtts://centre.example"))
        container.run("systemctl", "restart", AGENT)
        container.wait_for(lambda: not is_filtered(), "end of the filter")
    finally:
        file.write_text(text)
        container.run("systemctl", "restart", AGENT)
    container.wait_for(is_filtered, "network filter")

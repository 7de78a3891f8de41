"""Reboots of a good system: in order without a failure on the console; by itself after a panic and a hang."""

import pytest

from tests.image.form import cases
from tests.image.guest import Guest

pytestmark = pytest.mark.slow

BACK_S = 900.0
HOG = "chrt -f 99 sh -c 'while :; do :; done'"
BLOWS = {
    "the kernel panics": "echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger",
    "the first process crashes": "kill -SEGV 1",
    # At the highest priority, on each processor, without a share for other processes: a hang.
    "something takes all processors": "echo -1 >/proc/sys/kernel/sched_rt_runtime_us; "
    f"{HOG} & {HOG} & {HOG}",
}


@pytest.mark.parametrize("blow", cases(BLOWS, ["the kernel panics"]))
def test_the_system_reboots_by_itself_after(blow: str, guest: Guest) -> None:
    before, resets = guest.boot_id, guest.machine.reset_count()
    guest.expect_boot()
    guest.shell.start_command(BLOWS[blow])
    guest.machine.wait_for_reset(resets, BACK_S)
    assert guest.wait_until_up() != before
    assert guest.booted_slot() == "A"
    guest.wait_until_recording()
    if blow == "something takes all processors":
        assert "WATCHDOG" in guest.machine.qmp.events


def test_a_reboot_in_order_shows_no_failure_on_the_console(guest: Guest) -> None:
    guest.wait_until_recording()
    begin = len(guest.machine.kernel.text)
    before = guest.boot_id
    assert guest.reboot() != before
    shown = guest.machine.kernel.text[begin:]
    assert shown
    assert [line for line in shown.splitlines() if "FAILED" in line] == []

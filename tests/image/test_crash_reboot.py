"""A panic and a hang of a good system: it reboots by itself, into the same slot."""

import pytest

from tests.image.form import cases
from tests.image.guest import Guest

pytestmark = pytest.mark.slow

BACK_S = 300.0
HOG = "chrt -f 99 sh -c 'while :; do :; done'"
BLOWS = {
    "the kernel panics": "echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger",
    "the first process crashes": "kill -SEGV 1",
    # At the highest priority, on each processor, without a share for other processes: a hang.
    "something takes all processors": "echo -1 >/proc/sys/kernel/sched_rt_runtime_us; "
    f"{HOG} & {HOG} & {HOG}",
}


@pytest.mark.parametrize("blow", cases(BLOWS, ["something takes all processors"]))
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

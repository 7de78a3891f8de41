"""agent.provisioning.first_boot, run_as_user: the work has none of root's rights, and cannot block root."""

import os
import pwd
import subprocess
import sys

import pytest

from tests.whole.provision_tree import CHECKOUT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to be another user")

BEGIN = "import os, signal\nfrom agent.provisioning.first_boot import run_as_user\n"
ASK = """
def work():
    try:
        os.setuid(0)
    except PermissionError:
        pass
    status = open("/proc/self/status").read()
    kept = [line.split()[1] for line in status.splitlines() if line.startswith("CapEff")]
    return repr((os.getresuid(), os.getgroups(), kept)).encode()
print(run_as_user("nobody", work, 60).decode())
"""


def message(script: str) -> str:
    words = [sys.executable, "-c", BEGIN + script]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_no_root_privilege_is_left() -> None:
    uid = pwd.getpwnam("nobody").pw_uid
    assert message(ASK).strip() == f"(({uid}, {uid}, {uid}), [], ['0000000000000000'])"


@pytest.mark.parametrize(
    ("work", "timeout_s", "why"),
    [
        ("signal.pause()", 1, "ended with code -14"),
        ("os.kill(os.getpid(), 9)", 60, "ended with code -9"),
        ("1 / 0", 60, "ended with code 1"),
        ("open('/etc/shadow')", 60, "/etc/shadow: Permission denied"),
        ("open('/etc/shadow')", 60, "ended with code 1"),
    ],
)
def test_work_that_never_ends_is_a_failure(work: str, timeout_s: int, why: str) -> None:
    assert why in message(f"run_as_user('nobody', lambda: {work}, {timeout_s})")


def test_an_unknown_user_is_reported() -> None:
    assert "--user 'nemo': no such user; allowed: the agent's user" in message(
        "run_as_user('nemo', bytes, 1)"
    )

"""A boot that applies settings may be killed anywhere, and again during its recovery: the box has the
old or the new settings, and then the new ones.
"""

import os
import shutil
import subprocess
import sys
import tempfile

import pytest

from tests.whole.provision_tree import CHECKOUT

pytestmark = pytest.mark.slow

EVERY = 1 if os.environ.get("VIGIE_CRASH") == "long" else 16


@pytest.mark.parametrize("scenario", ["first", "change"])
def test_a_kill_at_any_point_leaves_the_old_or_the_new_settings(scenario: str) -> None:
    folder = tempfile.mkdtemp(prefix="vigie-kills-")
    os.chmod(folder, 0o711)  # noqa: PTH101, S103 - another user has to go through it
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.whole.provision_kills", folder, scenario, str(EVERY)],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.startswith(f"{scenario}: ")

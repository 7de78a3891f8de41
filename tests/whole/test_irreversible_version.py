"""Two people lower a quota of a running box with a control authority, one may not, and a trial evicts nothing."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent.base.clock import SystemClock
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import TIMEOUT_S, AgentBox
from tests.whole.test_configure_command import Configure, configure, keys
from tests.whole.test_desired_config import BOX, DRAWN, serviced
from tests.whole.test_trial_eviction import write_segments

__all__ = ["configure", "keys"]  # fixtures


@pytest.fixture
def pole(keys: Path, mosquitto: Mosquitto) -> Iterator[AgentBox]:
    """A box that has 17 MB of footage of an hour ago."""
    box = AgentBox(keys / "box", mosquitto.url, DRAWN, detect_fps=1)
    file = box.folder / "vigie.toml"
    text = file.read_text().replace('scene = "scene.toml"', "enabled = false")
    file.write_text(f'{text}[control]\nca = "{keys / "control" / "control-ca.pem"}"\n')
    clock = SystemClock()
    begin = clock.utc(clock.boottime_ns()) - timedelta(hours=1)
    write_segments(box.folder / "state" / "footage" / "north", "cccccccc", begin)
    box.start()
    yield box
    box.kill()


def test_two_people_lower_a_quota_that_one_may_not(
    keys: Path,
    pole: AgentBox,
    mosquitto: Mosquitto,
    configure: Configure,
    capsys: pytest.CaptureFixture[str],
) -> None:
    footage = pole.folder / "state" / "footage" / "north"
    first = min(footage.glob("*.mp4"))
    file = keys / "version.toml"
    file.write_text("[settings.record]\nmax_bytes = 10000000\n")
    assert configure("amina", str(file)) == 1
    refusal = capsys.readouterr().err
    assert "record.max_bytes = 10000000: now 16000000000; allowed: with signatures" in refusal
    assert "would go at once: " in refusal
    assert first.exists()

    saved = str(keys / "version.jws")
    assert configure("amina", str(file), "--save", saved) == 0
    signer = ["--signer", f"{keys / 'jonas.pem'}", "--signer-key", f"{keys / 'jonas.key'}"]
    words = ["configure", BOX, "--countersign", saved, "--yes", "--broker", mosquitto.url]
    second = subprocess.Popen([sys.executable, "-m", "agent", *words, *signer])
    try:
        assert pole.wait_for_exit() == 0
        assert first.exists()
        pole.start()
        assert second.wait(2 * TIMEOUT_S) == 0
    finally:
        second.kill()
        second.wait()
    wait_until(lambda: not first.exists(), TIMEOUT_S)
    assert pole.stop(signal.SIGTERM) == 0
    assert serviced(pole)[-1] == (
        "amina (supervisor), jonas (supervisor): configuration 2: in force"
    )

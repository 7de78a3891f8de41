"""A box's agent in its own process, and a centre that receives and acknowledges."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agent.app.agent import Agent
from agent.base.clock import Clock, SystemClock
from agent.capture import camera_source
from agent.capture.camera_source import BadScenePolicy
from agent.config.broker import BrokerConfig
from agent.config_change.start_config import StartConfig
from agent.runtime.sd_notify import Notifier
from agent.runtime.stage import StageThread
from centre.client import ActingCentre, CentreClient, ReceivedMessage
from centre.store import CentreStore
from tests.machine_tree import FakeProcFs

TIMEOUT_S = 180.0
"""For whatever must come: long, because a machine may be slow, and never waited out in a pass."""

CLOCK = SystemClock()

CONFIG = """
[box]
id = "casa-0001"
site = "Bd Mohammed V / Rue Chaouia"
state = "state"
[broker]
url = "{url}"
[health]
interval_s = 5
[[camera]]
name = "north"
{camera}
[camera.detect]
scene = "scene.toml"
"""


def fake_camera_toml(options: str = "") -> str:
    """The rendered street as a camera, in the configuration's words."""
    return f'driver = "fake"\n[camera.options]\nwidth_px = 640\nheight_px = 360\n{options}'


SCENE = "".join(
    f"""
[[line]]
name = "line {number}"
from = [0.0, {number / 20}]
to = [1.0, {number / 20}]
events = true
"""
    for number in range(5, 20)
)
"""Many lines across a street, so that events are many."""


def footage_bytes(folder: Path) -> int:
    """Return the size of the files below a folder of footage, 0 if it does not exist."""
    while True:
        with suppress(FileNotFoundError):  # a file was renamed meanwhile
            return sum(file.stat().st_size for file in folder.rglob("*.mp4*"))


def make_agent(
    config_file: Path,
    machine_root: Path,
    *,
    clock: Clock = CLOCK,
    on_bad_scene: BadScenePolicy = "refuse",
) -> Agent:
    """Return an agent for this process, not started yet and without heads and pins."""
    config, sources = camera_source.load_sources(config_file, clock, on_bad_scene)
    return Agent(
        StartConfig(config=config, sources=tuple(sources)),
        clock,
        random.Random(1),
        notifier=Notifier({}),
        machine_root=machine_root,
    )


class AgentBox:
    """A folder with a configuration, and `vigie run` on it, as often as one likes.

    Its machine is one of files: under the load of this one the agent would do less than a test waits for. `detect_fps` is
    low where a test needs no detection: an inference takes more of the processor than all else that is done with a picture.
    """

    command: tuple[str, ...] = ("-m", "agent", "run", "--config", "vigie.toml")
    """What runs the agent, after the interpreter."""

    def __init__(
        self, folder: Path, url: str, camera: str = "", detect_fps: float | None = None
    ) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "vigie.toml").write_text(
            CONFIG.format(url=url, camera=camera or fake_camera_toml())
            + ("" if detect_fps is None else f"fps = {detect_fps:g}\n")
        )
        (folder / "scene.toml").write_text(SCENE)
        self._machine_root = folder / "machine"
        if not self._machine_root.exists():
            FakeProcFs(self._machine_root, folder)
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def pid(self) -> int:
        """The agent's process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when the agent has notified its service manager that it is ready."""
        address = self.folder / "notify"
        address.unlink(missing_ok=True)
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(address))
        self._manager.settimeout(1)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self.command, "--root", self._machine_root],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": str(address)},
            )
        for _ in range(int(TIMEOUT_S)):
            try:
                assert self._manager.recv(1000) == b"READY=1"
            except TimeoutError:
                assert self._process.poll() is None, self.log
            else:
                return
        raise AssertionError(f"not ready after {TIMEOUT_S} s: {self.log}")

    def stop(self, signal_number: signal.Signals) -> int:
        """SIGTERM, or SIGKILL as a power cut would. The exit code."""
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(signal_number)
        code = process.wait(TIMEOUT_S)
        self._manager.close()
        return code

    def wait_for_exit(self) -> int:
        """The exit code of an agent that ends by itself."""
        assert self._process is not None
        process, self._process = self._process, None
        code = process.wait(TIMEOUT_S)
        self._manager.close()
        return code

    def kill(self) -> None:
        """Leave nothing behind, after whatever happened."""
        if self._process is not None:
            self.stop(signal.SIGKILL)


class RunningCentre:
    """Receives from every box, stores and acknowledges."""

    def __init__(self, url: str, file: Path) -> None:
        self._changed = threading.Condition()
        self._received: list[ReceivedMessage] = []
        self.store = CentreStore.open(file)
        self._client = CentreClient(
            BrokerConfig(url=url),
            self._on_message,
            random.Random(7),
            CLOCK.boottime_ns,
            centre=ActingCentre(store=self.store),
        )
        self._thread = StageThread(self._client, CLOCK.boottime_ns, random.Random(7), vital=False)
        self._thread.start()
        assert self._client.online.wait(TIMEOUT_S)

    def wait_for(
        self, matches: Callable[[list[ReceivedMessage]], bool], description: str
    ) -> list[ReceivedMessage]:
        """All received messages, once `matches` is true for them."""
        with self._changed:
            assert self._changed.wait_for(lambda: matches(self._received), TIMEOUT_S), (
                f"no {description}"
            )
            return list(self._received)

    def close(self) -> None:
        self._thread.stop()
        assert self._thread.join(TIMEOUT_S)
        self.store.close()

    def _on_message(self, item: ReceivedMessage) -> None:
        with self._changed:
            self._received.append(item)
            self._changed.notify_all()

"""A box whose agent is turned by hand, second by second, and what each part of it says of its state."""

import os
import random
import re
import socket
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from agent.app.agent import Agent
from agent.base.clock import boot_id
from agent.capture import camera_source
from agent.config import console_settings
from agent.config_change.actuator_specs import load_actuator_specs
from agent.config_change.start_config import StartConfig
from agent.console.check_result import print_results
from agent.console.checks import CHECKS, run_check
from agent.console.context import ConsoleContext
from agent.console.serve import COMMANDS
from agent.console.terminal import Terminal
from agent.health import health_file
from agent.reporting.payloads import HealthMessage
from agent.runtime.sd_notify import Notifier
from centre.fleet import rows
from centre.fleet.box_view import BoxView
from drivers.contracts import Camera, StreamRequest
from drivers.errors import DriverError
from drivers.media import Frame, Packet, Plane, StreamInfo
from tests.conftest import ManualClock
from tests.fleet_messages import arrival, stamp
from tests.machine_tree import FakeProcFs
from tests.parts.console_peers import MemoryByteLine
from tests.pure.test_status_led import lights, read

FPS = 10
CONFIG = """
[box]
id = "casa-0001"
site = "Bd Mohammed V"
state = "state"
[broker]
url = "{url}"
[[camera]]
name = "north"
driver = "fake"
record = {record}
[camera.options]
width_px = 160
height_px = 120
fps = 10
noise = 0.0
pace = "fast"
freeze_after_s = 0.1
"""


class Lens:
    """The street as a camera gives it, until a test breaks the camera."""

    def __init__(self, inner: Camera, owner: "DiagnosedBox") -> None:
        self._inner = inner
        self._owner = owner

    @property
    def info(self) -> StreamInfo:
        return self._inner.info

    def read(self, timeout_s: float) -> Packet | Frame | None:
        self._owner.raise_if_broken()
        item = None if self._owner.is_silent else self._inner.read(timeout_s)
        if not isinstance(item, Frame):
            return item
        luma = self._owner.change_picture(item.y)
        if self._owner.has_sensor_noise:
            noise = np.random.default_rng(item.seq).integers(0, 4, luma.shape, np.uint8)
            luma = cv2.add(luma, noise)
        return msgspec.structs.replace(item, y=np.asarray(luma, np.uint8))

    def close(self) -> None:
        self._inner.close()


class DiagnosedBox:
    """One box: its agent on a machine of files, and a technician, an operator and a LED that look at it."""

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        *,
        url: str = "",
        record: bool = True,
        more: str = "",
    ) -> None:
        self.clock = ManualClock()
        self.clock.now_ns = 3600 * 10**9
        self.folder = folder
        self.state_dir = folder / "state"
        self.state_dir.mkdir(exist_ok=True)
        self.is_silent = False
        self.camera_error: DriverError | None = None
        self.decoder_failure: DriverError | None = None
        self.change_picture: Callable[[Plane], Plane] = lambda luma: luma
        """Change of the picture on its way from the street to the sensor."""
        self.has_sensor_noise = True
        self.fps = FPS
        self._monkeypatch = monkeypatch
        self.config_path = folder / "vigie.toml"
        self._port = socket.create_server(("127.0.0.1", 0))
        """A port that accepts, so that only the cause that a test makes is found."""
        url = url or f"mqtt://127.0.0.1:{self._port.getsockname()[1]}"
        self.config_path.write_text(CONFIG.format(url=url, record=str(record).lower()) + more)
        self.machine = FakeProcFs(folder / "machine", self.state_dir)
        self.machine.write_file("sys/class/net/wwan0/carrier", "1")
        self.machine.write_file(
            "proc/net/route",
            "Iface\tDestination\tGateway\tFlags\nwwan0\t00000000\t0101A8C0\t0003\t0\n",
        )
        self.machine.write_file("proc/net/if_inet6", f"{'fd' * 16} 02 40 00 80 wwan0")
        config, sources = camera_source.load_sources(
            self.config_path, self.clock, on_bad_scene="close"
        )
        open_main = sources[0].open_main

        def open_lens(wanted: StreamRequest) -> Camera:
            self.raise_if_broken()
            if self.decoder_failure is not None and wanted.on_decoder_failure is not None:
                wanted.on_decoder_failure(self.decoder_failure)
            return Lens(open_main(wanted), self)

        self.agent = Agent(
            StartConfig(
                config=config,
                sources=(msgspec.structs.replace(sources[0], open_main=open_lens), *sources[1:]),
                specs=load_actuator_specs(config, self.clock, "vigie.toml"),
            ),
            self.clock,
            random.Random(1),
            notifier=Notifier({}),
            machine_root=self.machine.root,
        )
        self._threads = {
            thread.name: thread
            for threads in self.agent.supervisor._threads.values()
            for thread in threads
        }
        for thread in self._threads.values():
            thread.stop()  # so that no turn waits

    def close(self) -> None:
        for name in ("mqtt", "control socket", "record north"):
            if name in self._threads:
                self._threads[name]._stage.close()
        self.agent.outbox.close()
        self._port.close()

    def raise_if_broken(self) -> None:
        if self.camera_error is not None:
            raise self.camera_error

    def turn(self, name: str) -> None:
        """Let a stage do one turn, as its thread does."""
        self._threads[name]._iterate()

    def pass_s(self, seconds: int, jump_s: float = 0.0) -> None:
        """Let seconds pass, the first of them after a jump of the clock."""
        self.clock.advance_s(jump_s)
        for _ in range(seconds):
            self.clock.advance_s(1)
            for pipeline in self.agent.pipelines:
                has_both = pipeline.record_stage is not None and pipeline.duty.can_detect
                for _ in range(self.fps * (2 if has_both else 1)):
                    for capture in pipeline.capture_stages:
                        self.turn(capture.name)
                    if pipeline.latest_frame and pipeline.latest_frame._frame is not None:
                        self.turn(f"detect {pipeline.name}")
                if pipeline.record_stage:
                    self.turn(pipeline.record_stage.name)
            for name in self._threads:
                if name.startswith("head "):
                    self.turn(name)
            self.agent._archive.retention.enforce()
            self._threads["camera watchdog"]._stage.check()  # type: ignore[attr-defined]
            self._threads["health"]._stage.check()  # type: ignore[attr-defined]

    def fill_disk(self, space_ratio: float) -> None:
        """Leave this share of what a nearly full disk of 10 GB has, for whatever program looks."""
        real = os.statvfs
        free_blocks, blocks = int(200_000_000 * space_ratio) // 4096, 10_000_000_000 // 4096

        def statvfs(path: str) -> os.statvfs_result:
            fields = list(real(path))
            fields[:5] = [4096, 4096, blocks, free_blocks, free_blocks]
            return os.statvfs_result(fields)

        self._monkeypatch.setattr(os, "statvfs", statvfs)

    def stop_agent(self) -> None:
        """As the supervisor does in order, as far as other programs see it."""
        self._threads["health"]._stage.close()

    def faults(self) -> list[str]:
        """The codes and subjects that `faults` prints, in its order."""
        found = re.findall(r"([A-Z]{3}-\d\d) \w+: [^()]+ \(([^)]+)\), for", self.type("faults"))
        return [f"{code} {subject}" for code, subject in found]

    def type(self, *words: str) -> str:
        """Type a command at the console, and return its screen in one line."""
        line, terminal, context = self._sit_down()
        command = next(command for command in COMMANDS if command.name == words[0])
        command.run(terminal, context, words[1:])
        return " ".join(line.screen.split())

    def check(self) -> tuple[set[str], str]:
        """Run all checks: those that fail, as `6 CAM-01`, and their screen in one line."""
        failed: set[str] = set()
        screens = []
        for check in CHECKS:
            line, terminal, context = self._sit_down()
            print_results(terminal, run_check(context, check).results)
            screens.append(f"{check.number} {' '.join(line.screen.split())}")
            codes = re.findall(r"^FAIL(?: ([A-Z]{3}-\d\d))? ", line.screen, re.MULTILINE)
            failed |= {f"{check.number} {code}".strip() for code in codes}
        return failed, " ".join(screens)

    def watch(self) -> str:
        """Return the lines of `vigie watch` about the box in one."""
        live = health_file.read(self.state_dir / "run", boot_id())
        assert live is not None
        view = BoxView("casa-0001")
        message = HealthMessage(**msgspec.structs.asdict(stamp("casa-0001")), data=live.report)
        view.update(message, arrival())
        return " ".join(line.plain for line in rows.detail_lines(view))

    def led(self) -> list[tuple[int, int]]:
        """The long and short blinks of one round of the status LED; none is its heartbeat."""
        codes = list(dict.fromkeys(fault.code for fault in self.agent.faults.active()))
        return read(lights(codes, 60.0 * len(codes)))[: len(codes)]

    def _sit_down(self) -> tuple[MemoryByteLine, Terminal, ConsoleContext]:
        line = MemoryByteLine(self.clock)
        terminal = Terminal(line, self.clock.boottime_ns)
        terminal.paging = False
        settings = console_settings.read(self.config_path)
        context = ConsoleContext(settings, self.clock, boot_id(), root=self.machine.root)
        context.technician = "amina"
        return line, terminal, context

"""The other ends of a console in memory: its line, a camera, root's unit of updates, the agent."""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from agent.base.message import Message
from agent.base.model import CommandAccepted, CommandDone, CommandRefused
from agent.capture.lens_aim import downscale_within, measure_aim
from agent.commands.dispatcher import IncomingCommand
from agent.commands.local_command import LocalCommand, LocalCommandHandler
from agent.console.camera_preview import DEFAULT_SIZE_PX, PreviewPicture
from agent.console.terminal import HungUp
from agent.detection.image import encode_snapshot
from agent.ptz.preset_store import Preset
from agent.ptz.ptz_args import Args as PtzArgs
from agent.ptz.ptz_args import HeadInfo, HeadPosition, PtzResult, PtzSetPresetArgs
from agent.runtime.control_socket import SOCKET_NAME, ControlSocket
from agent.runtime.stage import StageThread
from agent.update import request_file
from agent.update.request_file import UpdateAction, UpdateRequest, UpdateRequestStatus
from drivers.contracts import Pose, PtzCapabilities, Range
from drivers.media import Frame
from tests.conftest import ManualClock

TIMEOUT_S = 60.0


class MemoryByteLine:
    """Typed input in pieces, then `silence_s` without input, then a hang-up.

    `on_read` is called at each read that waits; if it returns True, that read returns no input.
    """

    def __init__(
        self, clock: ManualClock, input_chunks: Sequence[bytes] = (), silence_s: float = 0
    ) -> None:
        self.clock = clock
        self.input_chunks = list(input_chunks)
        self.silence_s = silence_s
        self.output = bytearray()
        self.written_bytes = 0
        self.max_output_bytes = 1 << 20
        self.on_read: Callable[[], bool] = lambda: False
        self._has_acted = False

    def read(self, timeout_s: float) -> bytes:
        if timeout_s > 0:
            self._has_acted = self.on_read()
        if self._has_acted:
            self.clock.advance_s(timeout_s)
            return b""
        if self.input_chunks:
            return self.input_chunks.pop(0)
        if self.silence_s <= 0:
            raise HungUp
        self.silence_s -= max(timeout_s, 0.01)
        self.clock.advance_s(max(timeout_s, 0.01))
        return b""

    def write(self, data: bytes) -> None:
        self.written_bytes += len(data)
        self.output += data
        del self.output[: max(0, len(self.output) - self.max_output_bytes)]

    def is_drained(self) -> bool:
        return True

    @contextmanager
    def without_flow_control(self) -> Iterator[None]:
        yield

    @property
    def screen(self) -> str:
        # A transferred file is not text.
        return self.output.decode(errors="replace").replace("\r\n", "\n")


def make_picture(seed: int = 1, height: int = 180, width: int = 320) -> np.ndarray:
    """Draw a picture with edges of all sizes."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width), 120.0)
    for _ in range(60):
        y, x = int(rng.integers(0, height)), int(rng.integers(0, width))
        h, w = int(rng.integers(4, 40)), int(rng.integers(4, 40))
        picture[y : y + h, x : x + w] = rng.integers(20, 235)
    return picture.astype(np.uint8)


class RecordedPreview:
    """Preview of pictures that are given: the last one is repeated, none at all is a silent camera."""

    source = Message("the agent")

    def __init__(self, clock: ManualClock, views: Sequence[np.ndarray]) -> None:
        self._clock = clock
        self.views = list(views)
        self.closed = False

    def read(
        self,
        timeout_s: float,
        size_px: tuple[int, int] = DEFAULT_SIZE_PX,
        jpeg_max_bytes: int | None = None,
    ) -> PreviewPicture | None:
        if not self.views:
            self._clock.advance_s(timeout_s)
            return None
        luma = self.views.pop(0) if len(self.views) > 1 else self.views[0]
        height, width = luma.shape
        return PreviewPicture(
            luma=downscale_within(luma, *size_px),
            width_px=width,
            height_px=height,
            aim=measure_aim(luma),
            jpeg=b"" if jpeg_max_bytes is None else _encode(luma, jpeg_max_bytes),
        )

    def close(self) -> None:
        self.closed = True


def _encode(luma: np.ndarray, max_bytes: int) -> bytes:
    grey = np.full((luma.shape[0] // 2, luma.shape[1] // 2), 128, np.uint8)
    return encode_snapshot(Frame(seq=1, t_ns=1, y=luma, u=grey, v=grey), max_bytes)


class UpdateUnit:
    """Root's unit for update requests: takes a request, then writes the statuses that are given.

    Without statuses it is not running, and takes none.
    """

    def __init__(self, root: Path) -> None:
        self.folder = request_file.request_dir(root)
        self.folder.mkdir(parents=True)
        self.requests: list[tuple[UpdateAction, str, str | None]] = []
        self.next_statuses: list[UpdateRequestStatus] = []
        self._current: UpdateRequest | None = None

    @property
    def waiting(self) -> bool:
        """True if a request waits."""
        return (self.folder / request_file.REQUEST_FILE).exists()

    def step(self) -> bool:
        """Take a request or write a status; False if there is nothing to do."""
        if not self.next_statuses:
            return False
        if self.waiting:
            request = request_file.take_request(self.folder, (os.getuid(),))
            self.requests.append((request.action, request.requester, request.bundle_path))
            self._current = request
        if self._current is None:
            return False
        status = msgspec.structs.replace(self.next_statuses.pop(0), id=self._current.id)
        request_file.status_file(self.folder).write(status)
        if status.state != "running":
            self._current = None
        return True


HEAD = HeadInfo(
    name="mast",
    camera="north",
    capabilities=PtzCapabilities(
        absolute=True,
        pan_deg=Range(low=-170, high=170),
        tilt_deg=Range(low=-30, high=90),
        pan_max_deg_s=60,
        tilt_max_deg_s=40,
        zoom_ratio=10,
    ),
    position=HeadPosition(pan_deg=10.0, tilt_deg=-5.0, zoom=0.25, error_deg=0.1),
    moving=False,
    settled=True,
    preset=None,
    tour=None,
    lease=None,
    error=None,
)


class RecordingAgent:
    """The running agent's control socket: `ptz` is done by `head` and everything else refused."""

    def __init__(self, state_dir: Path, clock: ManualClock) -> None:
        self.commands: list[tuple[str, object]] = []
        self.requesters: list[str] = []
        self.head = HEAD
        self.presets: list[Preset] = []
        self._clock = clock
        self._server = ControlSocket(state_dir, clock.boottime_ns)
        handler = LocalCommandHandler(self._submit, clock, lambda _t_ns: "1")
        self._server.add_method(LocalCommand, handler.handle)
        self._thread = StageThread(self._server, clock.boottime_ns, random.Random(1), vital=False)
        self._socket_path = state_dir / SOCKET_NAME

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        while not self._socket_path.exists():
            assert not self._thread.join(0.01)
        try:
            yield
        finally:
            self._thread.stop()
            assert self._thread.join(TIMEOUT_S)

    def _submit(self, incoming: IncomingCommand) -> None:
        command = msgspec.json.decode(incoming.payload)
        self.requesters.append(command["by"])
        if incoming.verb != "ptz":
            self.commands.append((incoming.verb, command["args"]))
            incoming.send_reply(
                CommandRefused(
                    command="1", verb=incoming.verb, code="forbidden", message="nobody may"
                )
            )
            return
        args: PtzArgs = msgspec.convert(command["args"], PtzArgs)
        self.commands.append(("ptz", args))
        if isinstance(args, PtzSetPresetArgs):
            self.presets.append(
                Preset(
                    name=args.preset,
                    pose=Pose(pan_deg=10.0, tilt_deg=-5.0),
                    number=None,
                    stored_time="2026-11-25T00:00:00Z",
                    stored_by=command["by"],
                )
            )
        result = PtzResult(heads=(self.head,), presets=tuple(self.presets))
        incoming.send_reply(CommandAccepted(command="1", verb="ptz"))
        incoming.send_reply(
            CommandDone(command="1", verb="ptz", result=msgspec.Raw(msgspec.json.encode(result)))
        )

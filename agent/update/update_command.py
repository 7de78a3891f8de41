"""Command `update`: root's update requests, by name within the signed feed. No URL comes from the network.

The request and its status are files, see `request_file`; a stage follows the status. Root's unit continues if the
agent stops, so the next run of the agent follows it again.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from agent.base.errors import UserError
from agent.base.message import MessageData, decode_message
from agent.base.model import RefusalCode
from agent.commands.command import (
    CommandArgs,
    CommandHandler,
    CommandProgressSink,
    CommandType,
    Deferred,
    ValidCommand,
)
from agent.commands.pending_commands import PendingCommand, PendingCommandStore, ResumeCommand
from agent.commands.requester import CommandRejected
from agent.health.restart_command import FindObstacle, add_pending, check_obstacles
from agent.runtime.pause import Pause
from agent.runtime.stage import IDLE_WAIT_S
from agent.update import rauc_backend, request_file, versions
from agent.update.request_file import ReleaseVersion, UpdateAction, UpdateRequestStatus

POLL_INTERVAL_S = 1.0
PROGRESS_INTERVAL_S = 5.0
"""Each progress is a message of its own."""
ANSWER_TIMEOUT_S = 60.0
"""On a slow board root's unit takes seconds to start."""
TIMEOUT_S = 12.5 * 3600
"""Longer than TimeoutStartSec= of vigie-update-request.service, which ends with an outcome."""


class UpdateStatus(CommandArgs, frozen=True, kw_only=True, tag_field="do", tag="status"):
    """Report the slots, their versions, and which one is on trial."""


class UpdateCheck(CommandArgs, frozen=True, kw_only=True, tag_field="do", tag="check"):
    """Read the signed feed, and list the releases for this box. Nothing is downloaded."""


class UpdateInstall(CommandArgs, frozen=True, kw_only=True, tag_field="do", tag="install"):
    """Download the release of this version, check it, and write it into the slot that does not run.

    Its share of boxes, its time and the window are not waited for. It is tried at the next reboot.
    """

    version: ReleaseVersion

    def __post_init__(self) -> None:
        """Raise ValueError if the version is malformed."""
        versions.version_key(self.version)


class UpdateResult(msgspec.Struct, frozen=True, kw_only=True):
    """The report of root's unit, in English."""

    lines: Annotated[tuple[str, ...], msgspec.Meta(max_length=300)]


class _FollowedRequest(msgspec.Struct):
    """A request that root has not finished, as far as it was seen."""

    request_id: str
    sink: CommandProgressSink
    submitted_ns: int
    step: object = ""
    progress_pause: Pause = msgspec.field(default_factory=Pause)


Args: TypeAlias = UpdateStatus | UpdateCheck | UpdateInstall

COMMAND = CommandType(
    verb="update",
    args=Args,
    result=UpdateResult,
    summary="slots, releases, an installation",
    actions=("maintain",),
    describe=lambda args: (
        f"install {args.version}" if isinstance(args, UpdateInstall) else _action_of(args)
    ),
    is_idempotent=lambda args: not isinstance(args, UpdateInstall),
    examples=(UpdateStatus(), UpdateCheck(), UpdateInstall(version="1.4.2")),
    result_examples=(
        UpdateResult(lines=("version 1.4.2 is in slot B, and is tried once, at the next reboot.",)),
    ),
)


class UpdateCommandHandler(CommandHandler):
    """Handles `update`. It is a stage too, which follows one request.

    `root` is the folder of /proc and /run. `obstacles` say why nothing may be installed now.
    """

    command = COMMAND
    name = COMMAND.verb

    def __init__(
        self,
        root: Path,
        clock_ns: Callable[[], int],
        boot: str,
        pending: PendingCommandStore,
        record_action: Callable[[str, str], None],
        obstacles: Sequence[FindObstacle],
    ) -> None:
        self._root = root
        self._folder = request_file.request_dir(root)
        self._clock_ns = clock_ns
        self._boot = boot
        self._pending = pending
        self._record_action = record_action
        self._obstacles = tuple(obstacles)
        self._changed = threading.Condition()
        self._followed: _FollowedRequest | None = None

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> Deferred:
        """Submit the request to root. Raises: CommandRejected."""
        args: Args = command.args
        self._check_slots()
        running = self._read_status()
        if self._followed is not None or (running is not None and running.state == "running"):
            raise CommandRejected("busy", "another update request runs: wait for its end")
        version = None
        if isinstance(args, UpdateInstall):
            check_obstacles(self._obstacles)
            version = args.version
            self._record_action(command.requester.by, f"update: install version {version}")
        try:
            request_id = request_file.submit_request(
                self._folder, _action_of(args), command.requester.id, version=version
            )
        except FileExistsError as error:
            raise CommandRejected("busy", "another update request waits for root") from error
        except UserError as error:
            raise CommandRejected("malformed", str(error)) from error
        except OSError as error:
            raise CommandRejected("failed", f"the request cannot be written: {error}") from error
        try:
            add_pending(
                self._pending, PendingCommand(command=command, boot=self._boot, detail=request_id)
            )
        except CommandRejected:
            if request_file.withdraw_request(self._folder, request_id):
                raise
        self._follow(request_id, progress_sink)
        return self._pending.deferred(command.id, TIMEOUT_S)

    def resume(self, resume_command: ResumeCommand) -> None:
        """Follow the request of an earlier run again. One of an earlier boot has ended with it."""
        for pending in self._pending.of_verb(COMMAND.verb):
            deferred = self._pending.deferred(pending.command.id, TIMEOUT_S)
            sink = resume_command(pending.command, deferred)
            if pending.boot == self._boot:
                self._follow(pending.detail, sink)
            else:
                sink.finish(lambda: _reject("failed", "the box was rebooted before it was done"))

    def find_obstacle(self) -> str | None:
        """Return why a reboot would do harm now: root installs something."""
        status = self._read_status()
        if status is None or status.state != "running" or not status.action.startswith("install"):
            return None
        return f"an update is being installed for {status.requester}: wait for its end"

    def run_once(self, stopping: threading.Event) -> None:
        """Look at the status of the request once a second, or wait for a request."""
        with self._changed:
            self._changed.wait_for(lambda: self._followed or stopping.is_set(), IDLE_WAIT_S)
            is_idle = self._followed is None
        if not is_idle and not stopping.wait(POLL_INTERVAL_S):
            self.check()

    def wake(self) -> None:
        """End the wait of `run_once` if it is to stop. Thread-safe; never blocks."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """Leave the request to root, and to the next run."""

    def check(self) -> None:
        """Pass the progress or the outcome of the request on."""
        with self._changed:
            followed = self._followed
        if followed is None:
            return
        status = self._read_status()
        if status is None or status.id != followed.request_id:
            self._check_answered(followed)
            return
        if status.state == "running":
            self._report_progress(followed, status)
            return
        lines = tuple(str(decode_message(line)) for line in status.lines)
        if status.state == "done":
            self._finish(followed, lambda: UpdateResult(lines=lines))
        else:
            self._finish(followed, lambda: _reject("failed", "; ".join(lines)))

    def _check_slots(self) -> None:
        """Raise CommandRejected on a system without slots."""
        try:
            # Firmware may add bytes of any kind to the kernel's command line.
            cmdline = (self._root / "proc/cmdline").read_text(encoding="utf-8", errors="replace")
            rauc_backend.booted_slot(cmdline)
        except rauc_backend.NoSlots as error:
            raise CommandRejected("unsupported", str(error)) from error

    def _read_status(self) -> UpdateRequestStatus | None:
        return request_file.status_file(self._folder).read()

    def _follow(self, request_id: str, sink: CommandProgressSink) -> None:
        with self._changed:
            self._followed = _FollowedRequest(request_id, sink, self._clock_ns())
            self._changed.notify()

    def _check_answered(self, followed: _FollowedRequest) -> None:
        if self._clock_ns() - followed.submitted_ns < ANSWER_TIMEOUT_S * 1e9:
            return
        if request_file.withdraw_request(self._folder, followed.request_id):
            reason = (
                f"no answer within {ANSWER_TIMEOUT_S:.0f} s: vigie-update-request.path does not run"
            )
            self._finish(followed, lambda: _reject("unavailable", reason))
        else:
            reason = "root has taken the request, and another one after it: ask for the status"
            self._finish(followed, lambda: _reject("failed", reason))

    def _report_progress(self, followed: _FollowedRequest, status: UpdateRequestStatus) -> None:
        now_ns = self._clock_ns()
        step = status.step
        if step in ("", followed.step) or not followed.progress_pause.is_over(now_ns):
            return
        followed.step = step
        followed.progress_pause.begin(now_ns, PROGRESS_INTERVAL_S)
        percent = step.values.get("percent", 0) if isinstance(step, MessageData) else 0
        fraction = percent / 100 if isinstance(percent, int | float) else 0.0
        followed.sink.report_progress(fraction, str(decode_message(step)))

    def _finish(self, followed: _FollowedRequest, make_result: Callable[[], UpdateResult]) -> None:
        with self._changed:
            self._followed = None
        followed.sink.finish(make_result)


def _action_of(args: Args) -> UpdateAction:
    match args:
        case UpdateStatus():
            return "status"
        case UpdateCheck():
            return "check"
        case UpdateInstall():
            return "install_release"


def _reject(code: RefusalCode, reason: str) -> UpdateResult:
    raise CommandRejected(code, reason)

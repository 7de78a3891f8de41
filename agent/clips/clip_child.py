"""The child that makes one clip and uploads it: `python -P -m agent.clips.clip_child`.

It reads a ClipTask, a line of JSON, from its standard input, and writes ChildMessages to its standard output.
What can hang, what takes long and what a hostile server sends stays out of the agent's process. It makes the system calls
of a list alone; files and memory are the agent's.
"""

import os
import sys
import time
from pathlib import Path
from typing import NoReturn

import msgspec

from agent.base.errors import UserError
from agent.base.json_decode import decode_json
from agent.clips.clip_task import (
    ChildMessage,
    ClipTask,
    Failed,
    Made,
    MadeFile,
    Making,
    Retry,
    Sending,
    Sent,
    Uploaded,
    UploadProgress,
)
from agent.clips.https_request import HttpsClient, LinkError, Refused, load_authority
from agent.clips.uploader import Uploader
from drivers.child import syscall_filter
from drivers.errors import DriverError

_STDOUT_FD = 1
_REPORT_INTERVAL_S = 1.0
"""Of the progress of making: each report waits for the agent's stage."""

WORK_RATIO = 0.5
"""The share of the time in which the child works, and of one core that it uses on average.

The service's unit denies nice(2) and ioprio_set(2) to the agent and its children: both are in systemd's
`@resources`.
"""
_MIN_REST_S = 0.02


class Pace:
    """Rests of the child, so that recording has the processor and the disk: as long as the work since the last one took,
    by the clock or by all threads' CPU.
    """

    def __init__(self) -> None:
        self._rested_s = time.monotonic()
        self._rested_cpu_s = time.process_time()

    def rest(self) -> None:
        """Rest, if enough work was done since the last rest."""
        worked_s = max(time.monotonic() - self._rested_s, time.process_time() - self._rested_cpu_s)
        rest_s = worked_s * (1 / WORK_RATIO - 1)
        if rest_s < _MIN_REST_S:
            return
        time.sleep(rest_s)
        self.restart()

    def restart(self) -> None:
        """Count the work from now on: what was before was a wait."""
        self._rested_s, self._rested_cpu_s = time.monotonic(), time.process_time()


class AgentGone(Exception):
    """The agent has closed the standard input."""


class _Agent:
    """The agent at the other end."""

    def __init__(self) -> None:
        self._next_report_s = 0.0
        self._pace = Pace()

    def report(self, message: ChildMessage) -> None:
        """Send a message, and wait until the agent lets the child go on. Raises: AgentGone."""
        try:
            sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError as error:
            raise AgentGone from error
        if not sys.stdin.buffer.readline(2):
            raise AgentGone
        self._pace.restart()

    def on_work(self, ratio: float) -> None:
        """Rest, and report that the file is being made."""
        self._pace.rest()
        now_s = time.monotonic()
        if now_s >= self._next_report_s:
            self._next_report_s = now_s + _REPORT_INTERVAL_S
            self.report(Making(ratio=ratio))

    def before_send(self, size_bytes: int, offset: int) -> None:
        """Wait until the link has room."""
        self.report(Sending(size_bytes=size_bytes, sent_bytes=offset))

    def on_progress(self, progress: UploadProgress) -> None:
        """Have the agent store a step."""
        self.report(Sent(progress=progress))


def main() -> int:
    """Carry out one task. Return 0, also if there is no clip: the last message says so."""
    agent = _Agent()
    # Before the libraries of footage start threads.
    syscall_filter.allow_listed("client", _fail_by_call, writes_files=True)
    try:
        task = decode_json(sys.stdin.buffer.readline(), ClipTask)
        agent.report(_carry_out(task, agent))
    except AgentGone:
        return 1
    return 0


def _fail_by_call(call: str) -> NoReturn:
    """Report a system call that is not in the list, and end this process."""
    reason = f"its process called {call}(2), which is not in its list of system calls"
    os.write(_STDOUT_FD, msgspec.json.encode(Failed(reason=reason)) + b"\n")
    os._exit(os.EX_SOFTWARE)


def _carry_out(task: ClipTask, agent: _Agent) -> ChildMessage:
    """Return the last message."""
    made = task.made
    if made is None:
        outcome = _make(task, agent)
        if isinstance(outcome, Failed):
            return outcome
        made = outcome
        agent.report(Made(file=made))
    try:
        client = HttpsClient(load_authority(task.ca), task.chunk_bytes, agent.before_send)
        Uploader(client, Path(task.file), made, task.progress, agent.on_progress).upload(
            task.target
        )
    except LinkError as error:
        return Retry(reason=str(error), after_s=error.after_s)
    except (Refused, UserError, OSError) as error:
        return Failed(reason=str(error))
    return Uploaded()


def _make(task: ClipTask, agent: _Agent) -> MadeFile | Failed:
    # Imported here: a child that resumes an upload needs none of the libraries of footage.
    from agent.clips.clip_maker import CLIP_ERRORS, ClipMaker  # noqa: PLC0415

    try:
        return ClipMaker(task, agent.on_work).make()
    except CLIP_ERRORS as error:
        return Failed(reason=str(error), code="unsupported")
    except UserError as error:
        return Failed(reason=str(error), code="forbidden")
    except (OSError, DriverError) as error:
        return Failed(reason=f"the clip cannot be made: {error}")


if __name__ == "__main__":
    sys.exit(main())

"""The child that makes the file of one clip, and the one that uploads it.

What can hang, what takes long and what a hostile server sends stays out of the agent's process.
"""

import time
from pathlib import Path
from urllib.parse import urlsplit

from agent.base.errors import UserError
from agent.clips.clip_task import (
    ClipTask,
    Made,
    MakeTask,
    Making,
    Rejected,
    Retry,
    Sending,
    Sent,
    Uploaded,
    UploadProgress,
    UploadTask,
)
from agent.clips.upload_target import target_urls
from agent.clips.uploader import HttpsClient, LinkError, Refused, Uploader, load_authority
from agent.config.recording import FOOTAGE_DIR
from agent.runtime.paced_child import AgentGone, PacedChild
from drivers.child import messages
from drivers.child.confinement import MAX_FILE_BYTES, Confinement, confine
from drivers.child.main import ChildEnd
from drivers.errors import DriverError

MAX_MAKING_BYTES = 1_610_612_736
"""Masks on pictures of 4000x3000 take 1.0 GB with two threads, on 3840x2160 0.7 GB."""
MAX_UPLOADING_BYTES = 134_217_728
_READABLE_FOLDERS = (FOOTAGE_DIR, "custody", "masks", "owner-policies")
_WRITABLE_FOLDERS_OF_EXPORT = ("custody", "identity")
"""It has a receipt, signed with the box's key, in the custody log and the state inventory."""
_BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"
_CODE_FOLDERS = tuple(str(Path(file).parents[1]) for file in (__file__, messages.__file__))
"""Pages of an export are files of `agent`, and some modules are imported when they are needed."""
_REPORT_INTERVAL_S = 1.0
"""Of the progress of making: each report waits for the agent's stage."""

WORK_RATIO = 0.5
"""The share of the time in which the child works, and of one core that it uses on average."""


class _Agent(PacedChild):
    """The agent at the other end."""

    def __init__(self, end: ChildEnd) -> None:
        super().__init__(end, WORK_RATIO)
        self._next_report_s = 0.0

    def on_work(self, ratio: float) -> None:
        """Rest, and report that the file is being made."""
        self.rest()
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


def run(end: ChildEnd) -> None:
    """Carry out one task. The last message has its outcome."""
    task: ClipTask = messages.from_raw(end.settings, ClipTask)  # type: ignore[arg-type] # a union
    agent = _Agent(end)
    try:
        agent.report(
            _make(task, end, agent) if isinstance(task, MakeTask) else _upload(task, end, agent)
        )
    except AgentGone:
        return


def making_confinement(task: MakeTask) -> Confinement:
    """Return the limits of the child that makes a file: no network, and no other folder of the agent."""
    state_dir = Path(task.state_dir)
    written = _WRITABLE_FOLDERS_OF_EXPORT if task.form == "export" else ()
    return Confinement(
        memory_bytes=MAX_MAKING_BYTES,
        readable_files=(
            *(str(state_dir / name) for name in _READABLE_FOLDERS),
            *(_BOOT_ID_FILE, *_CODE_FOLDERS),
        ),
        writable_folders=(task.folder, *(str(state_dir / name) for name in written)),
        file_bytes=max(MAX_FILE_BYTES, task.max_file_bytes),
    )


def uploading_confinement(task: UploadTask) -> Confinement:
    """Return the limits of the child that uploads a file: that file, and the ports of its server."""
    return Confinement(
        memory_bytes=MAX_UPLOADING_BYTES,
        network="client",
        tcp_ports=tuple({urlsplit(url).port or 443 for url in target_urls(task.target)}),
        readable_files=(task.file,),
    )


def _make(task: MakeTask, end: ChildEnd, agent: _Agent) -> Made | Rejected:
    # Imported here: the child that uploads needs none of the libraries of footage.
    from agent.clips.clip_maker import CLIP_ERRORS, ClipMaker  # noqa: PLC0415

    confine(making_confinement(task), end)
    try:
        return Made(file=ClipMaker(task, agent.on_work).make())
    except CLIP_ERRORS as error:
        return Rejected(reason=_reason_of(error), code="unsupported")
    except UserError as error:
        return Rejected(reason=_reason_of(error), code="forbidden")
    except (OSError, DriverError) as error:
        return Rejected(reason=f"the clip cannot be made: {_reason_of(error)}")


def _upload(task: UploadTask, end: ChildEnd, agent: _Agent) -> Uploaded | Retry | Rejected:
    try:
        # Before the confinement: the authorities of the system are files in many folders.
        tls_context = load_authority(task.ca)
        confine(uploading_confinement(task), end)
        client = HttpsClient(tls_context, task.chunk_bytes, agent.before_send)
        uploader = Uploader(client, Path(task.file), task.made, task.progress, agent.on_progress)
        uploader.upload(task.target)
    except LinkError as error:
        return Retry(reason=_reason_of(error), after_s=error.after_s)
    except (Refused, UserError, OSError) as error:
        return Rejected(reason=_reason_of(error))
    return Uploaded()


def _reason_of(error: Exception) -> str:
    return str(error)[: messages.MAX_MESSAGE_CHARS - 100]

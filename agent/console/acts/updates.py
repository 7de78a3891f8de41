"""Updates of the system, requested of root: from a stick, from an uploaded file, back, and kept."""

import secrets
from collections.abc import Iterator
from contextlib import suppress
from functools import reduce
from pathlib import Path

import msgspec

from agent.base.message import Message, Text, decode_message, join_phrases, join_sentences
from agent.commands.command import NoArguments
from agent.console.act_wire import MAX_UPLOAD_BYTES
from agent.console.acts.act import ActCall, BoxArgs, act
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.update import rauc_backend, request_file, usb_bundle
from agent.update.download import check_free_space
from agent.update.errors import UpdateError
from agent.update.request_file import UpdateAction, UpdateRequestStatus

_OUTCOMES = {
    "running": Message("running"),
    "done": Message("done"),
    "failed": Message("NOT done"),
}
_ANOTHER_WAITS = Message("another request waits already: try again in a minute")
WRITTEN_WITHIN_S = 60.0
"""An upload that was written within this time may be one that is still on its way."""


def submit(context: ConsoleContext, action: UpdateAction, bundle: str | None = None) -> str:
    """Have root execute a request, and return its id. Raises ConsoleError if another one runs or waits."""
    require_idle(context)
    folder = request_file.request_dir(context.root)
    try:
        return request_file.submit_request(folder, action, context.technician, bundle)
    except FileExistsError as error:
        raise ConsoleError(_ANOTHER_WAITS) from error


def last_request(context: ConsoleContext) -> UpdateRequestStatus | None:
    """Return the request that root has taken last, with its progress or outcome; None if there is none."""
    return request_file.status_file(request_file.request_dir(context.root)).read()


class RequestId(msgspec.Struct, frozen=True):
    """The id of a request to root."""

    id: str


class UpdateValue(msgspec.Struct, frozen=True, kw_only=True):
    """The newest request: `waiting` until root takes it, with its progress or outcome then; all is empty if there is none."""

    id: str | None = None
    state: str | None = None
    action: str | None = None
    requester: str | None = None
    step: Text = ""
    lines: tuple[Text, ...] = ()


@act(lane="status", typed="update")
def update_status(call: ActCall, _args: NoArguments) -> UpdateValue:
    """Return the progress or the outcome of the last request."""
    # Before the status: root removes a request first, and then writes that it has taken it.
    waiting = request_file.waiting_request(request_file.request_dir(call.context.root))
    status = last_request(call.context)
    if waiting is not None and (status is None or status.id != waiting.id):
        return UpdateValue(
            id=waiting.id, state="waiting", action=waiting.action, requester=waiting.requester
        )
    if status is None:
        return UpdateValue()
    return UpdateValue(
        id=status.id,
        state=status.state,
        action=status.action,
        requester=status.requester,
        step=decode_message(status.step),
        lines=tuple(map(decode_message, status.lines)),
    )


@act(lane="upload", needs="root", typed="update")
def update_slots(call: ActCall, _args: NoArguments) -> RequestId:
    """Have root read the slots; the lines come with the progress of the request."""
    return RequestId(submit(call.context, "status"))


@act(lane="upload", needs="root", typed="update rollback", receipt="update rollback")
def update_rollback(call: ActCall, args: BoxArgs) -> RequestId:
    """Go back to the previous version, or drop the one that is installed and not tried."""
    args.confirm(call.context)
    return RequestId(submit(call.context, "rollback"))


@act(lane="upload", needs="root", typed="update good", receipt="update good")
def update_good(call: ActCall, args: BoxArgs) -> RequestId:
    """Keep the version that runs."""
    args.confirm(call.context)
    return RequestId(submit(call.context, "mark_good"))


@act(
    lane="upload",
    needs="root",
    typed="update usb",
    timeout_s=3600.0,
    upload_max_bytes=MAX_UPLOAD_BYTES,
    receipt="update from a file of {call.upload.size_bytes} bytes",
)
def update_install(call: ActCall, _args: NoArguments) -> RequestId:
    """Store the uploaded bundle, and have root install it. If it raises, nothing of the file is left.

    Root checks it as any update: its signature, its version, the trial.
    """
    context, upload = call.context, call.require_upload()
    require_idle(context)
    remove_unused_uploads(context)
    folder = _upload_folder(context)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A name of its own: a process that removes an earlier upload at this moment removes that one alone.
    path = folder / f"{secrets.token_hex(8)}{usb_bundle.BUNDLE_SUFFIX}"
    try:
        check_free_space(folder, upload.size_bytes)
        usb_bundle.store_upload(path, upload.parts())
        return RequestId(submit(context, "install", f"/{path.relative_to(context.root)}"))
    except UpdateError as error:
        path.unlink(missing_ok=True)
        raise ConsoleError(str(error)) from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def remove_unused_uploads(context: ConsoleContext, unchanged_s: float = 0.0) -> None:
    """Remove uploads that root has installed or refused, and those that a session, a power cut or a crash has left.

    Those that were written within `unchanged_s` are kept. Raises OSError.
    """
    old = list(_iter_uploads(context, unchanged_s))
    if not old or _is_waiting(context):
        return
    status = last_request(context)
    if status is None or status.state != "running":
        for path in old:
            path.unlink(missing_ok=True)


def _iter_uploads(context: ConsoleContext, unchanged_s: float) -> Iterator[Path]:
    now_s = context.now().timestamp()
    for path in _upload_folder(context).glob(f"*{usb_bundle.BUNDLE_SUFFIX}"):
        with suppress(FileNotFoundError):  # another process has removed it
            if abs(now_s - path.stat().st_mtime) >= unchanged_s:
                yield path


def _upload_folder(context: ConsoleContext) -> Path:
    return context.root / usb_bundle.UPLOAD_ROOT.lstrip("/")


def _is_waiting(context: ConsoleContext) -> bool:
    """Return True if root has not taken the last request yet."""
    return (request_file.request_dir(context.root) / request_file.REQUEST_FILE).exists()


def require_idle(context: ConsoleContext) -> None:
    """Raise ConsoleError if another request waits or runs, or on a system without slots."""
    if _is_waiting(context):
        raise ConsoleError(_ANOTHER_WAITS)
    last_status = last_request(context)
    if last_status is not None and last_status.state == "running":
        raise ConsoleError(summarize(last_status))
    require_slots(context)


def require_slots(context: ConsoleContext) -> None:
    """Raise ConsoleError on a system that was set up without an image."""
    try:
        # Firmware may add bytes of any kind to the kernel's command line.
        cmdline = (context.root / "proc/cmdline").read_text(encoding="utf-8", errors="replace")
        rauc_backend.booted_slot(cmdline)
    except rauc_backend.NoSlots as error:
        raise ConsoleError(
            Message("this system was set up without an image: it has no slots, and no update here")
        ) from error


def summarize(status: UpdateRequestStatus) -> Message:
    """Format a request and its outcome in one line."""
    outcome: Text = _OUTCOMES[status.state]
    if status.state == "running":
        outcome = join_phrases(outcome, decode_message(status.step))
    if status.lines:
        outcome = Message("{outcome}: {details}", outcome=outcome, details=join_lines(status))
    return Message(
        "{action} by {name}: {outcome}",
        action=status.action,
        name=status.requester,
        outcome=outcome,
    )


def join_lines(status: UpdateRequestStatus) -> Text:
    """Return the lines of an outcome in one."""
    return reduce(join_sentences, map(decode_message, status.lines))

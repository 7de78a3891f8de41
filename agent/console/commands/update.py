"""`update`: the system's two slots; install a bundle from a USB disk; roll back."""

from collections.abc import Sequence
from pathlib import Path

from agent.base.message import Message, Text, TextData, decode_message
from agent.commands.command import NoArguments
from agent.console.acts import updates
from agent.console.acts.act import BoxArgs, call_at_console
from agent.console.acts.updates import RequestId
from agent.console.arguments import usage_error
from agent.console.console_command import ConsoleCommand
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.stick_mount import mount_stick
from agent.console.terminal import Terminal
from agent.update import request_file, usb_bundle
from agent.update.request_file import UpdateRequestStatus

POLL_INTERVAL_S = 0.5
ANSWER_TIMEOUT_S = 60.0
"""On a slow board root's unit takes seconds to start."""
_MODIFYING = ("usb", "rollback", "good")


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Print the slots, install, roll back, or mark as good."""
    call, box = call_at_console(context), BoxArgs(box=context.box_id)
    match list(argv):
        case [] | ["status"]:
            _print_status(terminal, context)
        case ["usb"]:
            _install(terminal, context)
        case ["rollback"]:
            question = Message("Back to the previous version, or the installed one is not tried.")
            if terminal.confirm(question, context.box_id):
                terminal.print(
                    *_follow_request(terminal, context, updates.update_rollback(call, box))
                )
            else:
                terminal.print(Message("Nothing is changed."))
        case ["good"]:
            terminal.print(*_follow_request(terminal, context, updates.update_good(call, box)))
        case _:
            raise usage_error(
                ("update", *argv),
                *(f"update {word}" for word in ("status", "usb", "rollback", "good")),
            )


def _is_modifying(argv: Sequence[str]) -> bool:
    return bool(argv) and argv[0] in _MODIFYING


def _print_status(terminal: Terminal, context: ConsoleContext) -> None:
    """Print the slots, after the outcome of the last request: its requester may have been cut off."""
    last_status = updates.last_request(context)
    if last_status is not None and last_status.action != "status":
        terminal.print(updates.summarize(last_status))
        if last_status.state == "running":
            return
    request = updates.update_slots(call_at_console(context), NoArguments())
    terminal.print(*_follow_request(terminal, context, request))


def _install(terminal: Terminal, context: ConsoleContext) -> None:
    updates.require_slots(context)
    with mount_stick(terminal, context, writable=False):
        _install_from_stick(terminal, context)


def _install_from_stick(terminal: Terminal, context: ConsoleContext) -> None:
    bundles = usb_bundle.find_usb_bundles(context.root)
    if not bundles:
        raise ConsoleError(
            Message("no *.raucb on a USB disk: plug one in, wait ten seconds, try again")
        )
    bundle = bundles[terminal.choose(bundles)]
    terminal.print(bundle)
    question = Message("It is written into the slot that does not run.")
    if not terminal.confirm(question, context.box_id):
        terminal.print(Message("Nothing is installed."))
        return
    request = RequestId(updates.submit(context, "install", bundle))
    terminal.print(
        *_follow_request(terminal, context, request),
        Message("Type reboot to try it. Until then update rollback cancels it."),
    )


def _follow_request(
    terminal: Terminal, context: ConsoleContext, request: RequestId
) -> Sequence[Text]:
    """Show the progress of a request to root until it ends, and return its lines.

    Raises ConsoleError if it fails, is not answered, or is not waited for any more.
    """
    status = _follow(terminal, request_file.request_dir(context.root), request.id)
    if status.state == "failed":
        raise ConsoleError(Message("Not done: {reason}", reason=updates.join_lines(status)))
    return tuple(map(decode_message, status.lines))


def _follow(terminal: Terminal, folder: Path, request_id: str) -> UpdateRequestStatus:
    """Show the progress of a request until it ends, and return its outcome."""
    last_answer_ns = terminal.clock_ns()
    step_shown: TextData = ""
    while True:
        status = request_file.status_file(folder).read()
        if status is not None and status.id == request_id:
            last_answer_ns = terminal.clock_ns()
            if status.step not in ("", step_shown):
                step_shown = status.step
                terminal.overwrite_line(Message("{step} ...", step=decode_message(step_shown)))
            if status.state != "running":
                if step_shown:
                    terminal.print()
                return status
        elif terminal.clock_ns() - last_answer_ns > ANSWER_TIMEOUT_S * 1e9:
            request_file.withdraw_request(folder, request_id)
            raise ConsoleError(
                Message(
                    "no answer within {timeout_s:.0f} s: {unit} does not run",
                    timeout_s=ANSWER_TIMEOUT_S,
                    unit="vigie-update-request",
                )
            )
        if terminal.read_key(POLL_INTERVAL_S) == "cancel":
            withdrawn = request_file.withdraw_request(folder, request_id)
            terminal.print()
            raise ConsoleError(
                Message("Cancelled: nothing was started.")
                if withdrawn
                else Message("It continues by itself: update status shows its progress.")
            )


UPDATE = ConsoleCommand(
    name="update",
    help=Message("the system's two slots; a new version from a USB disk; back"),
    usage=(
        ("update", Message("the slots, their versions, and which one is on trial")),
        ("update usb", Message("check the bundle on a USB disk and install it; asks first")),
        ("update rollback", Message("back to the previous version; asks first")),
        ("update good", Message("keep the version that runs")),
    ),
    run=run,
    needs_receipt=_is_modifying,
)

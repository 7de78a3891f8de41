"""`update`: the system's two slots; a new version from a USB disk, tried once; and back."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.console.errors import ConsoleError
from agent.console.results import Box
from agent.console.terminal import Terminal
from agent.update.request_file import UpdateAction, UpdateRequestStatus

NAME = "update"
HELP = "the system's two slots; a new version from a USB disk; back"
USAGE = (
    "update            the slots, their versions, and what is on trial",
    "update usb        check the bundle on a USB disk and install it; asks first",
    "update rollback   back to the version before, or drop what waits; asks first",
    "update good       what runs is good: it stays",
)

POLL_INTERVAL_S = 0.5
ANSWER_TIMEOUT_S = 60.0
"""On a slow board a program of root's takes seconds to begin."""
_MODIFYING = ("usb", "rollback", "good")


def is_modifying(argv: Sequence[str]) -> bool:
    """Whether these words change something."""
    return bool(argv) and argv[0] in _MODIFYING


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Tell, install, go back, or accept."""
    match list(argv):
        case [] | ["status"]:
            _print_status(terminal, box)
        case ["usb"]:
            _install(terminal, box)
        case ["rollback"]:
            question = "Back to the version before; or what waits for its trial is taken back."
            if terminal.confirm(question, box.id):
                terminal.print(*_run_action(terminal, box, "rollback"))
            else:
                terminal.print("Nothing is changed.")
        case ["good"]:
            terminal.print(*_run_action(terminal, box, "mark_good"))
        case _:
            raise UserError(f"update {' '.join(argv)}: allowed: status, usb, rollback, good")


def _print_status(terminal: Terminal, box: Box) -> None:
    """Of what was asked before it is told once more: whoever asked may have been cut off."""
    last_progress = box.update_client.read_status()
    if last_progress is not None and last_progress.action != "status":
        terminal.print(_summarize(last_progress))
        if last_progress.state == "running":
            return
    terminal.print(*_run_action(terminal, box, "status"))


def _install(terminal: Terminal, box: Box) -> None:
    bundles = box.update_client.list_bundles()
    if not bundles:
        raise ConsoleError("no *.raucb on a USB disk: plug one in, wait ten seconds, try again")
    bundle = bundles[terminal.choose(bundles)]
    terminal.print(bundle)
    if not terminal.confirm("It goes into the slot that does not run.", box.id):
        terminal.print("Nothing is installed.")
        return
    terminal.print(
        *_run_action(terminal, box, "install", bundle),
        "Type reboot to try it. Until then update rollback takes it back.",
    )


def _run_action(
    terminal: Terminal, box: Box, action: UpdateAction, bundle: str | None = None
) -> Sequence[str]:
    """Have it done, and show how far it is; how it ended. Raises ConsoleError where it is not done, or is
    not waited for any more.
    """
    client = box.update_client
    last_progress = client.read_status()
    if last_progress is not None and last_progress.state == "running":
        raise ConsoleError(_summarize(last_progress))
    request_id = client.submit_request(action, box.technician, bundle)
    last_progress_ns, step_shown = terminal.clock_ns(), ""
    while True:
        progress = client.read_status()
        if progress is not None and progress.id == request_id:
            last_progress_ns = terminal.clock_ns()
            if progress.step not in ("", step_shown):
                step_shown = progress.step
                terminal.overwrite_line(f"{step_shown} ...")
            if progress.state != "running":
                break
        elif terminal.clock_ns() - last_progress_ns > ANSWER_TIMEOUT_S * 1e9:
            client.withdraw_request(request_id)
            raise ConsoleError(
                f"no answer within {ANSWER_TIMEOUT_S:.0f} s: vigie-update-request does not run"
            )
        if terminal.read_key(POLL_INTERVAL_S) == "cancel":
            withdrawn = client.withdraw_request(request_id)
            terminal.print()
            raise ConsoleError(
                "Taken back: nothing was begun."
                if withdrawn
                else "It goes on by itself: update status tells how far it is."
            )
    if step_shown:
        terminal.print()
    if progress.state == "failed":
        raise ConsoleError(f"Not done: {'; '.join(progress.lines)}")
    return progress.lines


def _summarize(progress: UpdateRequestStatus) -> str:
    """One order, and what became of it."""
    outcome = {"running": f"under way, {progress.step}", "done": "done", "failed": "NOT done"}[
        progress.state
    ]
    details = f": {'; '.join(progress.lines)}" if progress.lines else ""
    return f"{progress.action} by {progress.requester}: {outcome.removesuffix(', ')}{details}"

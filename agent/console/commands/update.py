"""`update`: the system's two slots; a new version from a USB disk, tried once; and back."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.console.results import Box, ConsoleError
from agent.console.terminal import Terminal
from agent.update.request import Do, UpdateProgress

NAME = "update"
HELP = "the system's two slots; a new version from a USB disk; back"
USAGE = (
    "update            the slots, their versions, and what is on trial",
    "update usb        check the bundle on a USB disk and install it; asks first",
    "update rollback   back to the version before, or drop what waits; asks first",
    "update good       what runs is good: it stays",
)

EVERY_S = 0.5
ANSWER_S = 60.0
"""On a slow board a program of root's takes seconds to begin."""
_CHANGES = ("usb", "rollback", "good")


def changes(words: Sequence[str]) -> bool:
    """Whether these words change something."""
    return bool(words) and words[0] in _CHANGES


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """Tell, install, go back, or accept."""
    match list(words):
        case [] | ["status"]:
            _status(terminal, box)
        case ["usb"]:
            _install(terminal, box)
        case ["rollback"]:
            question = "Back to the version before; or what waits for its trial is taken back."
            if terminal.confirm(question, box.id):
                terminal.print(*_done(terminal, box, "rollback"))
            else:
                terminal.print("Nothing is changed.")
        case ["good"]:
            terminal.print(*_done(terminal, box, "good"))
        case _:
            raise UserError(f"update {' '.join(words)}: allowed: status, usb, rollback, good")


def _status(terminal: Terminal, box: Box) -> None:
    """Of what was asked before it is told once more: whoever asked may have been cut off."""
    last = box.update_desk.read_status()
    if last is not None and last.do != "status":
        terminal.print(_in_short(last))
        if last.state == "doing":
            return
    terminal.print(*_done(terminal, box, "status"))


def _install(terminal: Terminal, box: Box) -> None:
    bundles = box.update_desk.bundles()
    if not bundles:
        raise ConsoleError("no *.raucb on a USB disk: plug one in, wait ten seconds, try again")
    bundle = bundles[terminal.choose(bundles)]
    terminal.print(bundle)
    if not terminal.confirm("It goes into the slot that does not run.", box.id):
        terminal.print("Nothing is installed.")
        return
    terminal.print(
        *_done(terminal, box, "install", bundle),
        "Type reboot to try it. Until then update rollback takes it back.",
    )


def _done(terminal: Terminal, box: Box, do: Do, bundle: str | None = None) -> Sequence[str]:
    """Have it done, and show how far it is; how it ended. Raises CannotDo where it is not done, or is
    not waited for any more.
    """
    desk = box.update_desk
    last = desk.read_status()
    if last is not None and last.state == "doing":
        raise ConsoleError(_in_short(last))
    order = desk.submit_request(do, box.by, bundle)
    heard_ns, shown = terminal.clock_ns(), ""
    while True:
        told = desk.read_status()
        if told is not None and told.id == order:
            heard_ns = terminal.clock_ns()
            if told.step not in ("", shown):
                shown = told.step
                terminal.overwrite_line(f"{shown} ...")
            if told.state != "doing":
                break
        elif terminal.clock_ns() - heard_ns > ANSWER_S * 1e9:
            desk.withdraw(order)
            raise ConsoleError(
                f"no answer within {ANSWER_S:.0f} s: vigie-update-asked does not run"
            )
        if terminal.key(EVERY_S) == "cancel":
            taken_back = desk.withdraw(order)
            terminal.print()
            raise ConsoleError(
                "Taken back: nothing was begun."
                if taken_back
                else "It goes on by itself: update status tells how far it is."
            )
    if shown:
        terminal.print()
    if told.state == "failed":
        raise ConsoleError(f"Not done: {'; '.join(told.lines)}")
    return told.lines


def _in_short(told: UpdateProgress) -> str:
    """One order, and what became of it."""
    how = {"doing": f"under way, {told.step}", "done": "done", "failed": "NOT done"}[told.state]
    said = f": {'; '.join(told.lines)}" if told.lines else ""
    return f"{told.do} by {told.by}: {how.removesuffix(', ')}{said}"

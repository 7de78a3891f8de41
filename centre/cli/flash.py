"""`vigie flash`: an image and the settings of a box onto a card."""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from agent.base.errors import UserError
from agent.cli.commands import Commands
from agent.cli.footage_output import print_json
from agent.health.vitals.procfs import ProcFs
from agent.provisioning.settings import BadSettings
from centre.flash import flash
from centre.flash.disks import size_words
from centre.flash.flash import Flashed, FlashPlan, FlashRequest, NotFlashed, Stopped
from centre.flash.image import Told
from centre.flash.safety_checks import NOT_REMOVABLE, SMALL

_INTERRUPTED = 130


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "flash",
        help="write an image and the settings of a box onto a card",
        description="Checks settings, image and card, writes, and reads all of it back from the card. "
        "The card is asked for by name, and nothing that is in use or built in is written to.",
    )
    parser.add_argument(
        "image", metavar="IMAGE", type=Path, nargs="?", help="of Vigie, see docs/flash.md"
    )
    parser.add_argument(
        "target",
        metavar="DEVICE-OR-FILE",
        type=Path,
        nargs="?",
        help="a whole disk such as /dev/sdb, or a file",
    )
    parser.add_argument(
        "--settings", metavar="FILE", type=Path, help="of the box, see docs/settings.md"
    )
    parser.add_argument(
        "--list", action="store_true", help="which disks there are, and what speaks against each"
    )
    parser.add_argument("--yes", action="store_true", help="ask nothing, for scripts")
    parser.add_argument("--json", action="store_true", help="one line of JSON, for machines")
    flags = parser.add_argument_group("against a refusal; nothing helps where a disk is in use")
    flags.add_argument(NOT_REMOVABLE, action="store_true", help="write to a disk that is built in")
    flags.add_argument(SMALL, action="store_true", help="with hardly any room for footage")
    flags.add_argument(
        "--even-if-not-empty", action="store_true", help="replace a file that holds something"
    )
    flags.add_argument(
        "--even-without-checksum", action="store_true", help="an image without its .sha256"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Flash. Raises BadInput."""
    tree = ProcFs()
    try:
        if args.list:
            return _list(tree)
        return _flash(_wish(args, tree), args, tree)
    except BadSettings as error:
        for line in error.problems:
            print(f"vigie: {line}", file=sys.stderr)
        return 2
    except OSError as error:
        raise UserError(f"flash: {error}") from error
    except NotFlashed as error:
        print(f"vigie: {error}", file=sys.stderr)
        return _INTERRUPTED if isinstance(error, Stopped) else 1


def _wish(args: argparse.Namespace, tree: ProcFs) -> FlashRequest:
    if args.image is None or args.settings is None:
        raise UserError(
            "flash: what is to be written? allowed: --settings FILE IMAGE DEVICE-OR-FILE, or --list"
        )
    if args.target is None:
        raise UserError(f"flash: onto which disk? allowed: a file, or {flash.select_disk(tree)}")
    overridden = {NOT_REMOVABLE: args.even_if_not_removable, SMALL: args.even_if_small}
    return FlashRequest(
        settings=args.settings,
        image=args.image,
        target=args.target,
        overridden=frozenset(flag for flag, given in overridden.items() if given),
        without_checksum=args.even_without_checksum,
        even_if_not_empty=args.even_if_not_empty,
    )


def _flash(wish: FlashRequest, args: argparse.Namespace, tree: ProcFs) -> int:
    planned = flash.plan_flash(wish, _bar, tree)
    if not args.json:
        _show(planned)
    if planned.disk is not None and not args.yes:
        _ask(planned)
    with _stopped_by_signals():
        done = flash.flash(planned, _bar, tree)
    if args.json:
        print_json(done)
    else:
        _tell(done)
    return 0


def _show(planned: FlashPlan) -> None:
    settings, image = planned.settings, planned.image
    print(f"settings: box {settings.box}, {settings.site}, reports to {settings.broker}")
    for note in settings.notes:
        print(f"  note: {note}")
    sure = "its checksum is right" if image.checked else "NOT CHECKED"
    size = size_words(image.size_bytes)
    print(f"image: {image.path.name}, {size}, for {image.firmware.name}; {sure}")
    print(f"onto: {planned.target_words}")


def _ask(planned: FlashPlan) -> None:
    if not sys.stdin.isatty():
        raise UserError("flash: nobody is there to answer; allowed: at a terminal, or --yes")
    print(f"All that is on {planned.target_words} will be lost.")
    try:
        answer = input("Type yes to write to it: ")
    except EOFError:
        print()
        answer = ""
    if answer.strip().lower() != "yes":
        raise UserError(f"{planned.wish.target}: nothing was written; allowed: yes")


def _tell(done: Flashed) -> None:
    written = size_words(done.size_bytes)
    speeds = [
        f"{done.size_bytes / max(one, 0.001) / 1e6:.0f} MB/s" for one in (done.write_s, done.read_s)
    ]
    print(f"{done.target}: good: {written} of box {done.box} written and read back")
    print(f"  written at {speeds[0]}, read at {speeds[1]}")


def _list(tree: ProcFs) -> int:
    table = Table(box=None, pad_edge=False)
    for title in ("disk", "what", "size", "attached", "against it"):
        table.add_column(title, overflow="fold")
    for disk, against in flash.list_candidates(tree):
        why = str(against[0]) if against else "nothing"
        told = (disk.path, disk.model, size_words(disk.size_bytes), disk.attached, why)
        table.add_row(*map(Text, told))
    Console().print(table) if table.rows else print("no disk is there")
    return 0


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Being told to end, or a terminal that goes, is as Ctrl-C: the card is to start no box then."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    changed = {number: old for number, old in before.items() if old is not signal.SIG_IGN}
    for number in changed:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, old in changed.items():
            signal.signal(number, old)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _bar(what: str) -> Iterator[Told]:
    """A bar on the standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:>18}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

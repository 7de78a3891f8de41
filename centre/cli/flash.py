"""`vigie flash`: writes an image and the settings of a box to a card."""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from agent.base.errors import UserError
from agent.base.progress import ProgressCallback
from agent.cli.arguments import add_json
from agent.cli.output import check_interactive, print_json, progress_bar
from agent.health.vitals.procfs import ProcFs
from agent.provisioning.settings import InvalidSettings
from centre.flash import flasher
from centre.flash.disks import format_size
from centre.flash.flasher import FlashError, FlashInterrupted, FlashPlan, FlashRequest, FlashResult
from centre.flash.safety_checks import NOT_REMOVABLE_FLAG, SMALL_FLAG

_EXIT_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Checks settings, image and card, writes, and reads everything back from the card. "
        "The card is named on the command line; a disk that is in use or built in is refused."
    )
    parser.add_argument(
        "image", metavar="IMAGE", type=Path, nargs="?", help="an image of Vigie, see docs/flash.md"
    )
    parser.add_argument(
        "target",
        metavar="DEVICE-OR-FILE",
        type=Path,
        nargs="?",
        help="a whole disk such as /dev/sdb, or a file",
    )
    parser.add_argument(
        "--settings",
        metavar="FILE",
        type=Path,
        help="the settings of the box, see docs/settings.md",
    )
    parser.add_argument(
        "--list", action="store_true", help="list the disks, and why each would be refused"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask, for scripts")
    add_json(parser)
    flags = parser.add_argument_group(
        "overrides of a refusal; a disk that is in use is always refused"
    )
    flags.add_argument(
        NOT_REMOVABLE_FLAG, action="store_true", help="allow a disk that is built in"
    )
    flags.add_argument(
        SMALL_FLAG, action="store_true", help="allow a disk with hardly any room for footage"
    )
    flags.add_argument(
        "--even-if-not-empty", action="store_true", help="allow a file that is not empty"
    )
    flags.add_argument(
        "--even-without-checksum", action="store_true", help="allow an image without its .sha256"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Flash a card, or list the disks. Raises: UserError if an argument is wrong."""
    procfs = ProcFs()
    try:
        if args.list:
            return _list_disks(procfs)
        return _flash(_request(args, procfs), args, procfs)
    except InvalidSettings as error:
        for line in error.problems:
            print(f"vigie: {line}", file=sys.stderr)
        return 2
    except OSError as error:
        raise UserError(f"flash: {error}") from error
    except FlashError as error:
        print(f"vigie: {error}", file=sys.stderr)
        return _EXIT_INTERRUPTED if isinstance(error, FlashInterrupted) else 1


def _request(args: argparse.Namespace, procfs: ProcFs) -> FlashRequest:
    if args.image is None or args.settings is None:
        raise UserError(
            "flash: image or settings missing; allowed: --settings FILE IMAGE DEVICE-OR-FILE, or --list"
        )
    if args.target is None:
        raise UserError(
            f"flash: target missing; allowed: a file, or {flasher.describe_candidates(procfs)}"
        )
    overrides = {NOT_REMOVABLE_FLAG: args.even_if_not_removable, SMALL_FLAG: args.even_if_small}
    return FlashRequest(
        settings=args.settings,
        image=args.image,
        target=args.target,
        override_flags=frozenset(flag for flag, given in overrides.items() if given),
        without_checksum=args.even_without_checksum,
        even_if_not_empty=args.even_if_not_empty,
    )


def _flash(request: FlashRequest, args: argparse.Namespace, procfs: ProcFs) -> int:
    plan = flasher.plan_flash(request, _progress_bar, procfs)
    if not args.json:
        _print_plan(plan)
    if plan.disk is not None and not args.yes:
        _confirm(plan)
    with _signals_interrupt():
        result = flasher.flash(plan, _progress_bar, procfs)
    if args.json:
        print_json(result)
    else:
        _print_result(result)
    return 0


def _print_plan(plan: FlashPlan) -> None:
    settings, image = plan.settings, plan.image
    print(f"settings: box {settings.box_id}, {settings.site}, reports to {settings.broker_url}")
    for note in settings.notes:
        print(f"  note: {note}")
    checksum_text = "checksum verified" if image.checksum_verified else "NOT CHECKED"
    size = format_size(image.size_bytes)
    print(f"image: {image.path.name}, {size}, for {image.firmware.name}; {checksum_text}")
    print(f"onto: {plan.target_text}")


def _confirm(plan: FlashPlan) -> None:
    check_interactive("flash")
    print(f"All data on {plan.target_text} will be lost.")
    try:
        answer = input("Type yes to write to it: ")
    except EOFError:
        print()
        answer = ""
    if answer.strip().lower() != "yes":
        raise UserError(f"{plan.request.target}: nothing was written; allowed: yes")


def _print_result(result: FlashResult) -> None:
    written = format_size(result.size_bytes)
    speeds = [
        f"{result.size_bytes / max(duration_s, 0.001) / 1e6:.0f} MB/s"
        for duration_s in (result.write_s, result.read_s)
    ]
    print(f"{result.target}: good: {written} of box {result.box} written and read back")
    print(f"  written at {speeds[0]}, read at {speeds[1]}")


def _list_disks(procfs: ProcFs) -> int:
    table = Table(box=None, pad_edge=False)
    for title in ("disk", "model", "size", "bus", "refused because"):
        table.add_column(title, overflow="fold")
    for disk, refusals in flasher.list_candidates(procfs):
        reason = str(refusals[0]) if refusals else "not refused"
        row = (disk.path, disk.model, format_size(disk.size_bytes), disk.bus, reason)
        table.add_row(*map(Text, row))
    Console().print(table) if table.rows else print("no disk found")
    return 0


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Handle SIGTERM and SIGHUP like Ctrl-C, so that the card is left unbootable."""
    previous = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGHUP)}
    replaced = {
        signum: handler for signum, handler in previous.items() if handler is not signal.SIG_IGN
    }
    for signum in replaced:
        signal.signal(signum, _raise_interrupt)
    try:
        yield
    finally:
        for signum, handler in replaced.items():
            signal.signal(signum, handler)


def _raise_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _progress_bar(label: str) -> AbstractContextManager[ProgressCallback]:
    return progress_bar(
        label,
        TextColumn("{task.description:>18}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )

"""`vigie update`: how the system stands, a new one, and the one before."""

import argparse
import getpass
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.base.clock import SystemClock
from agent.cli.commands import Commands
from agent.cli.footage_output import print_json, progress_bar
from agent.config import configuration
from agent.update import download, https_get, operations, status_text, usb_bundle
from agent.update.download import DownloadSpec
from agent.update.errors import UpdateError
from agent.update.feed_poller import PollerDeps, poll_feed
from agent.update.operations import FetchedBundle
from agent.update.updater import FellBackBefore, Steps, Updater, updater_of

ALL_PERCENT = 100


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "update",
        help="the system's own updates: see, install, mark, go back",
        description="Updates of the whole system, which lies in two slots: the new one is written "
        "beside the one that runs, tried once, and kept if it proves itself. Root's.",
    )
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    words = parser.add_subparsers(metavar="ORDER", required=True)

    status = words.add_parser("status", help="which slots there are, and which one boots")
    status.add_argument("--json", action="store_true", help="one line of JSON, for machines")
    status.set_defaults(run=_status)

    install = words.add_parser(
        "install",
        help="check a bundle, and write it into the slot that does not run",
        description="Fetches it where it is an address, checks signature, version and all of its "
        "payload, and only then writes. 0: installed; 1: not installed; 2: a wrong word.",
    )
    install.add_argument(
        "bundle", metavar="FILE|URL|usb", help="a bundle, its address, or `usb`: the one on a stick"
    )
    install.add_argument("--sha256", metavar="HEX", help="what the whole file must be")
    install.add_argument(
        "--again",
        action="store_true",
        help="although this version fell back here or was rolled back",
    )
    _add_reboot(install)
    install.set_defaults(run=_install)

    mark = words.add_parser("mark", help="say of the system that runs that it is good, or bad")
    mark.add_argument("word", choices=("good", "bad"))
    mark.set_defaults(run=_mark)

    rollback = words.add_parser(
        "rollback", help="go back to the system before, or take back what is installed"
    )
    _add_reboot(rollback)
    rollback.set_defaults(run=_rollback)

    check = words.add_parser(
        "check",
        help="ask the feed of [update], and do what it offers: the timer's order",
        description="Asks the feed. What is for this box is fetched at once, and installed within "
        "the window of [update].",
    )
    check.add_argument(
        "--config", metavar="FILE", type=Path, required=True, help="the configuration, TOML"
    )
    check.add_argument("--now", action="store_true", help="do not wait for the window")
    check.set_defaults(run=_check)


def _add_reboot(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reboot", action="store_true", help="and reboot into it")


def _updater(args: argparse.Namespace) -> Updater:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    return updater_of(args.root)


def _status(args: argparse.Namespace) -> int:
    def tell() -> str:
        status = _updater(args).status()
        if args.json:
            print_json(status)
            return ""
        return "\n".join(status_text.lines(status))

    return _done("", tell)


def _install(args: argparse.Namespace) -> int:
    sha256 = None if args.sha256 is None else download.check_sha256(args.sha256)

    def install() -> str:
        updater = _updater(args)
        with _steps() as steps:
            try:
                said = operations.install(
                    updater,
                    lambda: _bundle(args, updater, sha256, steps),
                    steps,
                    _who(),
                    again=args.again,
                )
            except FellBackBefore as error:
                raise UpdateError(f"{error}; --again tries it once more") from error
        return f"{said}, and is tried " + (
            "now: rebooting" if args.reboot else "at the next reboot"
        )

    code = _done("not installed", install)
    return _reboot() if args.reboot and code == 0 else code


def _bundle(
    args: argparse.Namespace, updater: Updater, sha256: str | None, steps: Steps
) -> FetchedBundle:
    if "://" in args.bundle:
        https_get.check_url(args.bundle)
        wanted = DownloadSpec(url=args.bundle, sha256=sha256)
        path, fetched = updater.fetch(
            wanted, https_get.context(None), steps, threading.Event().wait
        )
        return FetchedBundle(path=path, forget=fetched.forget)
    if args.bundle == "usb":
        got = operations.from_stick(updater, usb_bundle.single_bundle(args.root), steps)
    else:
        got = FetchedBundle(path=Path(args.bundle), forget=lambda: None)
    if sha256 is not None:
        try:
            download.compare(got.path, sha256)
        except UpdateError:
            got.forget()
            raise
    return got


def _mark(args: argparse.Namespace) -> int:
    return _done("not marked", lambda: operations.mark(_updater(args), args.word, _who()))


def _rollback(args: argparse.Namespace) -> int:
    code = _done("not rolled back", lambda: operations.rollback(_updater(args), _who()))
    return _reboot() if args.reboot and code == 0 else code


def _check(args: argparse.Namespace) -> int:
    def check() -> str:
        config = configuration.load(args.config)
        clock = SystemClock()
        updater = _updater(args)
        with updater.alone(), _steps() as steps:
            means = PollerDeps(
                now=lambda: clock.utc(clock.boottime_ns()) if clock.trust().synced else None,
                steps=steps,
                wait=threading.Event().wait,
                reboot=_reboot,
            )
            return poll_feed(updater, config, means, hurry=args.now)

    return _done("nothing updated", check)


def _done(failed: str, do: Callable[[], str]) -> int:
    """Say what was done, or in one line why it was not."""
    try:
        said = do()
    except (UpdateError, OSError) as error:
        why = f"{failed}: {error}" if failed else str(error)
        print(f"vigie: {why}", file=sys.stderr)
        return 1
    if said:
        print(said)
    return 0


@contextmanager
def _steps() -> Iterator[Steps]:
    with progress_bar("updating") as bar:
        yield Steps(
            fetched=bar, checked=bar, installed=lambda percent, _step: bar(percent, ALL_PERCENT)
        )


def _who() -> str:
    """Who stands behind root, as far as it is known."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def _reboot() -> int:
    done = subprocess.run(["systemctl", "--no-block", "reboot"], check=False)  # noqa: S607
    return 1 if done.returncode else 0

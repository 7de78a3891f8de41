"""`vigie update`: status, installation, marking and rollback of system updates."""

import argparse
import getpass
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from agent.base.clock import SystemClock, trusted_utc
from agent.base.message import Text
from agent.cli.arguments import add_config, add_json, sudo_user
from agent.cli.output import print_json, progress_bar
from agent.config import configuration
from agent.update import download, fetch_client, https_get, operations, status_text, usb_bundle
from agent.update.download import DownloadSpec
from agent.update.errors import UpdateError
from agent.update.feed_poller import PollerDeps, poll_feed
from agent.update.operations import FetchedBundle
from agent.update.updater import ProgressCallbacks, Updater, VersionRefused, open_updater

ALL_PERCENT = 100
REBOOT_COMMAND = (
    "/usr/bin/systemctl",
    "--no-block",
    "--job-mode=replace-irreversibly",
    "start",
    "reboot.target",
)
"""As in vigie-reboot.service: `systemctl reboot` prints a failure on an image, which has no systemd-logind."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Updates the whole system, which has two slots: an update is written to the inactive "
        "slot, booted once on trial, and kept if it works. Needs root."
    )
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    subcommands = parser.add_subparsers(metavar="COMMAND", required=True)

    status = subcommands.add_parser("status", help="show the slots, and which one boots")
    add_json(status)
    status.set_defaults(run=_status)

    install = subcommands.add_parser(
        "install",
        help="check a bundle and write it to the inactive slot",
        description="Downloads a URL, checks signature, version and the whole payload, and only then "
        "writes. Exit code 0: installed; 1: not installed; 2: a wrong argument.",
    )
    install.add_argument(
        "bundle",
        metavar="FILE|URL|usb",
        help="a bundle, its URL, or `usb`: the bundle on a USB disk",
    )
    install.add_argument("--sha256", metavar="HEX", help="the expected SHA-256 of the file")
    install.add_argument(
        "--again",
        action="store_true",
        help="install a version that fell back here or was rolled back",
    )
    _add_reboot(install)
    install.set_defaults(run=_install)

    mark = subcommands.add_parser("mark", help="mark the running system as good or bad")
    mark.add_argument("word", choices=("good", "bad"))
    mark.set_defaults(run=_mark)

    rollback = subcommands.add_parser(
        "rollback", help="return to the previous system, or discard the installed update"
    )
    _add_reboot(rollback)
    rollback.set_defaults(run=_rollback)

    check = subcommands.add_parser(
        "check",
        help="poll the feed of [update] and install what it offers, as the timer does",
        description="Polls the feed. A release for this box is downloaded at once, and installed within "
        "the window of [update].",
    )
    add_config(check)
    check.add_argument("--now", action="store_true", help="ignore the window")
    check.set_defaults(run=_check)


def _add_reboot(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reboot", action="store_true", help="reboot afterwards")


def _updater(args: argparse.Namespace) -> Updater:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    return open_updater(args.root)


def _status(args: argparse.Namespace) -> int:
    def format_status() -> str:
        status = _updater(args).read_status()
        if args.json:
            print_json(status)
            return ""
        return "\n".join(map(str, status_text.format_status(status)))

    return _run_printing("", format_status)


def _install(args: argparse.Namespace) -> int:
    sha256 = None if args.sha256 is None else download.parse_sha256(args.sha256)

    def install() -> Text:
        updater = _updater(args)
        with _steps() as steps:
            try:
                message = operations.install(
                    updater,
                    lambda: _fetch_bundle(args, updater, sha256, steps),
                    steps,
                    _requester(),
                    retry_refused=args.again,
                )
            except VersionRefused as error:
                raise UpdateError(f"{error}; allowed: --again") from error
        return f"{message}, and is tried " + (
            "now: rebooting" if args.reboot else "at the next reboot"
        )

    code = _run_printing("not installed", install)
    return _reboot() if args.reboot and code == 0 else code


def _fetch_bundle(
    args: argparse.Namespace, updater: Updater, sha256: str | None, steps: ProgressCallbacks
) -> FetchedBundle:
    if "://" in args.bundle:
        https_get.check_url(args.bundle)
        spec = DownloadSpec(url=args.bundle, suffix=usb_bundle.BUNDLE_SUFFIX, sha256=sha256)
        path, fetched_download = updater.fetch(
            spec, fetch_client.make_http_get(args.root, None), steps, threading.Event().wait
        )
        return FetchedBundle(path=path, discard=fetched_download.discard)
    if args.bundle == "usb":
        bundle = operations.copy_from_usb(updater, usb_bundle.single_bundle(args.root), steps)
    else:
        bundle = FetchedBundle(path=Path(args.bundle), discard=lambda: None)
    if sha256 is not None:
        try:
            download.check_file_sha256(bundle.path, sha256)
        except UpdateError:
            bundle.discard()
            raise
    return bundle


def _mark(args: argparse.Namespace) -> int:
    return _run_printing(
        "not marked", lambda: operations.mark(_updater(args), args.word, _requester())
    )


def _rollback(args: argparse.Namespace) -> int:
    code = _run_printing(
        "not rolled back", lambda: operations.rollback(_updater(args), _requester())
    )
    return _reboot() if args.reboot and code == 0 else code


def _check(args: argparse.Namespace) -> int:
    def check() -> str:
        config = configuration.load(args.config)
        clock = SystemClock()
        updater = _updater(args)
        with updater.exclusive(), _steps() as steps:
            deps = PollerDeps(
                now=lambda: trusted_utc(clock, clock.boottime_ns()),
                callbacks=steps,
                wait_or_stop=threading.Event().wait,
                make_http_get=partial(fetch_client.make_http_get, args.root),
                reboot=_reboot,
            )
            return poll_feed(updater, config, deps, ignore_window=args.now)

    return _run_printing("nothing updated", check)


def _run_printing(failure_prefix: str, action: Callable[[], Text]) -> int:
    """Print what was done, or in one line why it failed. Return the exit code."""
    try:
        message = action()
    except (UpdateError, OSError) as error:
        reason = f"{failure_prefix}: {error}" if failure_prefix else str(error)
        print(f"vigie: {reason}", file=sys.stderr)
        return 1
    if message:
        print(message)
    return 0


@contextmanager
def _steps() -> Iterator[ProgressCallbacks]:
    with progress_bar("updating") as bar:
        yield ProgressCallbacks(
            on_fetched=bar,
            on_checked=bar,
            on_installed=lambda percent, _step: bar(percent, ALL_PERCENT),
        )


def _requester() -> str:
    """Return the user behind root, if sudo names one."""
    return sudo_user() or getpass.getuser()


def _reboot() -> int:
    result = subprocess.run(REBOOT_COMMAND, check=False)  # noqa: S603 - fixed words
    return 1 if result.returncode else 0

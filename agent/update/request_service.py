"""Execute an update request as root: `python -m agent.update.request_service [stopped]`.

The pending request is executed by the same operations as `vigie update`, with all their checks; progress and
outcome go to the status file. With `stopped`, after the unit has ended, a request still running is marked as failed.
"""

import argparse
import logging
import os
import pwd
import sys
import threading
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import msgspec

from agent.base.clock import SystemClock, trusted_utc
from agent.base.errors import UserError
from agent.base.message import Message, Text, encode_message, message_of
from agent.base.progress import describe_progress
from agent.config import configuration
from agent.config.configuration import Config
from agent.update import fetch_client, operations, request_file, status_text
from agent.update.errors import UpdateError
from agent.update.feed_poller import PollerDeps, install_release, list_releases
from agent.update.request_file import UpdateRequest, UpdateRequestStatus
from agent.update.updater import ProgressCallbacks, Updater, VersionRefused, open_updater

log = logging.getLogger(__name__)

AGENT_USER = "vigie"
CONFIG_FILE = Path("/etc/vigie/vigie.toml")
INTERRUPTED_MESSAGE = Message(
    "interrupted before it was done; see the journal of {unit}", unit="vigie-update-request"
)


class ProgressWriter:
    """Writes the status of one request, only if it has changed."""

    def __init__(self, folder: Path, request: UpdateRequest) -> None:
        self._status_file = request_file.status_file(folder)
        self._status = UpdateRequestStatus(
            id=request.id, action=request.action, requester=request.requester, state="running"
        )
        self._status_file.write(self._status)

    def report_step(self, activity: Message, done: int, total: int) -> None:
        """Write the progress."""
        self._update(step=encode_message(describe_progress(activity, done, total)))

    def finish(self, lines: Sequence[Text]) -> None:
        """Write the success."""
        log.info("done: %s", "; ".join(map(str, lines)))
        self._update(state="done", step="", lines=tuple(map(encode_message, lines)))

    def fail(self, reason: Text) -> None:
        """Write the failure."""
        log.warning("not done: %s", reason)
        self._update(state="failed", step="", lines=(encode_message(reason),))

    def _update(self, **changes: object) -> None:
        updated = msgspec.structs.replace(self._status, **changes)
        if updated != self._status:
            self._status = updated
            self._status_file.write(updated)


def run_request(root: Path) -> int:
    """Execute the pending request. Exit code 0 if there was a valid one: its outcome is in the status file."""
    folder = request_file.request_dir(root)
    try:
        request = request_file.take_request(folder, allowed_uids())
    except FileNotFoundError:
        log.info("no request is pending")
        return 0
    except UserError as error:
        log.error("%s", error)
        return 1
    log.info(
        "request of %s: %s%s",
        request.requester,
        request.action,
        f" {request.bundle_path}" if request.bundle_path else "",
    )
    progress_writer = ProgressWriter(folder, request)
    try:
        progress_writer.finish(_execute(open_updater(root), request, progress_writer))
    except VersionRefused as error:
        progress_writer.fail(
            Message(
                "{error}: find out why first; `update good` accepts it, then try again",
                error=message_of(error),
            )
        )
    except (UpdateError, UserError, OSError) as error:
        progress_writer.fail(message_of(error))
    return 0


def mark_interrupted(root: Path) -> None:
    """Mark a request as failed that still runs although the unit has ended."""
    folder = request_file.request_dir(root)
    status_file = request_file.status_file(folder)
    status = status_file.read()
    if status is not None and status.state == "running":
        updated = msgspec.structs.replace(
            status, state="failed", step="", lines=(encode_message(INTERRUPTED_MESSAGE),)
        )
        status_file.write(updated)


def allowed_uids() -> Collection[int]:
    """Return the users who may submit requests: root and the agent's user."""
    try:
        return {os.geteuid(), pwd.getpwnam(AGENT_USER).pw_uid}
    except KeyError:
        return {os.geteuid()}


def _execute(
    updater: Updater, request: UpdateRequest, progress_writer: ProgressWriter
) -> Sequence[Text]:
    match request.action:
        case "status":
            return status_text.format_status(updater.read_status())
        case "rollback":
            return [operations.rollback(updater, request.requester)]
        case "mark_good":
            return [operations.mark(updater, "good", request.requester)]
        case "install":
            return [_install_from_usb(updater, request, progress_writer)]
        case "check":
            make_http_get = partial(fetch_client.make_http_get, updater.root)
            config = _load_config(updater.root)
            return list_releases(updater, config, make_http_get, _trusted_now())
        case "install_release":
            return [_install_release(updater, request, progress_writer)]


def _install_from_usb(
    updater: Updater, request: UpdateRequest, progress_writer: ProgressWriter
) -> Message:
    bundle = request.bundle_path or ""
    callbacks = _report_steps(progress_writer, Message("copying"))
    outcome = operations.install(
        updater,
        lambda: operations.copy_from_usb(updater, bundle, callbacks),
        callbacks,
        request.requester,
    )
    return _tried_at_reboot(outcome)


def _install_release(
    updater: Updater, request: UpdateRequest, progress_writer: ProgressWriter
) -> Message:
    deps = PollerDeps(
        now=_trusted_now,
        callbacks=_report_steps(progress_writer, Message("downloading")),
        wait_or_stop=threading.Event().wait,
        make_http_get=partial(fetch_client.make_http_get, updater.root),
        reboot=lambda: None,
    )
    config = _load_config(updater.root)
    version = request.version or ""
    return _tried_at_reboot(install_release(updater, config, deps, version, request.requester))


def _tried_at_reboot(outcome: Message) -> Message:
    return Message("{outcome}, and is tried once, at the next reboot.", outcome=outcome)


def _report_steps(progress_writer: ProgressWriter, fetching: Message) -> ProgressCallbacks:
    return ProgressCallbacks(
        on_fetched=lambda done, total: progress_writer.report_step(fetching, done, total),
        on_checked=lambda done, total: progress_writer.report_step(
            Message("checking"), done, total
        ),
        on_installed=lambda percent, _step: progress_writer.report_step(
            Message("writing"), percent, 100
        ),
    )


def _trusted_now() -> datetime | None:
    clock = SystemClock()
    return trusted_utc(clock, clock.boottime_ns())


def _load_config(root: Path) -> Config:
    return configuration.load(root / CONFIG_FILE.relative_to("/"))


def main(arguments: list[str] | None = None) -> int:
    """Run the unit's start, or its stop with `stopped`."""
    parser = argparse.ArgumentParser(prog="request_service", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    parser.add_argument("word", nargs="?", choices=("stopped",))
    args = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    if args.word == "stopped":
        mark_interrupted(args.root)
        return 0
    return run_request(args.root)


if __name__ == "__main__":
    sys.exit(main())

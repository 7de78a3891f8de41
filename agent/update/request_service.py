"""Root's side of the console's `update`: `python -m agent.update.request_service [ended]`, its unit's two orders.

Takes the one request there is, does it by the same orders as `vigie update` and with all their checks, and
tells how far it is and how it ended.
"""

import argparse
import logging
import os
import pwd
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from agent.base.errors import UserError
from agent.update import operations, request_file, status_text
from agent.update.errors import UpdateError
from agent.update.request import UpdateProgress
from agent.update.request_file import UpdateRequest
from agent.update.updater import FellBackBefore, Steps, Updater, updater_of

log = logging.getLogger(__name__)

USER = "vigie"
BROKE_OFF = "it broke off before it was done; the journal of vigie-update-asked says why"


class ProgressWriter:
    """Tells of one request. Nothing is written twice."""

    def __init__(self, folder: Path, asked: UpdateRequest) -> None:
        self._folder = folder
        self._told = UpdateProgress(id=asked.id, do=asked.do, by=asked.by, state="doing")
        request_file.write_status(folder, self._told)

    def step(self, what: str, done: int, total: int) -> None:
        """How far it is."""
        self._tell(step=f"{what} {done * 100 // max(1, total)} %")

    def done(self, lines: Sequence[str]) -> None:
        """It was done."""
        log.info("done: %s", "; ".join(lines))
        self._tell(state="done", step="", lines=tuple(lines))

    def failed(self, why: str) -> None:
        """It was not."""
        log.warning("not done: %s", why)
        self._tell(state="failed", step="", lines=(why,))

    def _tell(self, **changes: object) -> None:
        fresh = msgspec.structs.replace(self._told, **changes)
        if fresh != self._told:
            self._told = fresh
            request_file.write_status(self._folder, fresh)


def run(root: Path) -> int:
    """Take the request and do it. 0 where there was one, whatever became of it: that is told."""
    folder = root / request_file.FOLDER.relative_to("/")
    try:
        asked = request_file.take(folder, allowed_uids())
    except FileNotFoundError:
        log.info("nothing is asked for")
        return 0
    except UserError as error:
        log.error("%s", error)
        return 1
    log.info("%s asks: %s%s", asked.by, asked.do, f" {asked.bundle}" if asked.bundle else "")
    teller = ProgressWriter(folder, asked)
    try:
        teller.done(_do(updater_of(root), asked, teller))
    except FellBackBefore as error:
        teller.failed(f"{error}: find out why first; update good accepts it, then try again")
    except (UpdateError, UserError, OSError) as error:
        teller.failed(str(error))
    return 0


def end(root: Path) -> None:
    """When the unit ends, however: what was being done is not being done any more."""
    folder = root / request_file.FOLDER.relative_to("/")
    standing = request_file.read_status(folder)
    if standing is not None and standing.state == "doing":
        fresh = msgspec.structs.replace(standing, state="failed", step="", lines=(BROKE_OFF,))
        request_file.write_status(folder, fresh)


def allowed_uids() -> Collection[int]:
    """Root, and the agent's user."""
    try:
        return {os.geteuid(), pwd.getpwnam(USER).pw_uid}
    except KeyError:
        return {os.geteuid()}


def _do(updater: Updater, asked: UpdateRequest, teller: ProgressWriter) -> Sequence[str]:
    match asked.do:
        case "status":
            return status_text.lines(updater.status())
        case "rollback":
            return [operations.rollback(updater, asked.by)]
        case "good":
            return [operations.mark(updater, "good", asked.by)]
        case "install":
            return [_install(updater, asked, teller)]


def _install(updater: Updater, asked: UpdateRequest, teller: ProgressWriter) -> str:
    bundle = asked.bundle or ""
    steps = Steps(
        fetched=lambda done, total: teller.step("copying", done, total),
        checked=lambda done, total: teller.step("checking", done, total),
        installed=lambda percent, _step: teller.step("writing", percent, 100),
    )
    said = operations.install(
        updater, lambda: operations.from_stick(updater, bundle, steps), steps, asked.by
    )
    return f"{said}, and is tried once, at the next reboot."


def main(arguments: list[str] | None = None) -> int:
    """What the unit does when it is started, and when it has `ended`."""
    parser = argparse.ArgumentParser(prog="asked", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    parser.add_argument("word", nargs="?", choices=("ended",))
    args = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    if args.word == "ended":
        end(args.root)
        return 0
    return run(args.root)


if __name__ == "__main__":
    sys.exit(main())

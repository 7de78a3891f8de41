"""Console server: at a serial port for the life of the process, or once at its own terminal."""

import functools
import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from agent.base.clock import Clock, boot_id
from agent.base.errors import UserError
from agent.base.lockout import Lockout
from agent.config import console_settings
from agent.config.console_settings import ConsoleSettings
from agent.console.byte_line import controlling_terminal, serial_line
from agent.console.commands.bundle import BUNDLE
from agent.console.commands.camera import CAMERA
from agent.console.commands.check import CHECK
from agent.console.commands.commission import COMMISSION
from agent.console.commands.config import CONFIG
from agent.console.commands.enrol import ENROL
from agent.console.commands.faults import FAULTS_COMMAND
from agent.console.commands.footage import FOOTAGE
from agent.console.commands.gpio import GPIO
from agent.console.commands.mqtt import MQTT
from agent.console.commands.net import NET
from agent.console.commands.page import PAGE
from agent.console.commands.ptz import PTZ
from agent.console.commands.simple import LANGUAGE, LOG, LOGOUT, PAGES, REBOOT, SELFTEST, SERIAL
from agent.console.commands.status import STATUS
from agent.console.commands.update import UPDATE
from agent.console.context import ConsoleContext
from agent.console.login import make_authenticator
from agent.console.session import ConsoleSession
from agent.console.terminal import ROWS, ByteLine, HungUp, Terminal

log = logging.getLogger(__name__)

REOPEN_INTERVAL_S = 2.0
"""Wait before a serial port that is gone is opened again."""
MIN_ROWS = 10

COMMANDS = (
    STATUS,
    CHECK,
    FAULTS_COMMAND,
    CAMERA,
    NET,
    MQTT,
    PTZ,
    GPIO,
    SERIAL,
    FOOTAGE,
    LOG,
    CONFIG,
    ENROL,
    SELFTEST,
    COMMISSION,
    PAGE,
    BUNDLE,
    UPDATE,
    PAGES,
    LANGUAGE,
    REBOOT,
    LOGOUT,
)
"""In the order of `help`."""


def serve_port(
    config: Path, port: str, baud: int, clock: Clock, is_stopping: Callable[[], bool]
) -> None:
    """Serve a serial port until a signal stops the process. Raises UserError if it is not a serial port.

    The signal sets `is_stopping` and raises SystemExit, which is lost where the line hangs up in a `finally` on its way.
    """
    last_error = ""
    # If the disk takes no writes, wrong answers are counted in memory, over all sessions.
    get_lockout = functools.cache(lambda state_dir: Lockout(state_dir, clock, boot_id()))
    while not is_stopping():
        try:
            # Each session reads the configuration again.
            _serve(
                config, clock, lambda: serial_line(port, baud), ROWS, get_lockout, ignore_eof=True
            )
            continue
        except HungUp:
            log.info("%s: the line hung up", port)
            last_error = ""
        except OSError as error:
            if str(error) != last_error:
                log.warning("%s: %s", port, error.strerror or error)
            last_error = str(error)
        if not is_stopping():
            time.sleep(REOPEN_INTERVAL_S)


def serve_own_terminal(config: Path, clock: Clock) -> None:
    """Serve the process's own terminal until a logout or a hang-up. Raises UserError."""
    with suppress(HungUp):
        _serve(
            config,
            clock,
            controlling_terminal,
            _terminal_rows(),
            lambda state_dir: Lockout(state_dir, clock, boot_id()),
            ignore_eof=False,
        )


def _serve(
    path: Path,
    clock: Clock,
    open_line: Callable[[], AbstractContextManager[ByteLine]],
    rows: int,
    get_lockout: Callable[[Path], Lockout],
    *,
    ignore_eof: bool,
) -> None:
    settings = console_settings.read(path)
    _check_owner(settings)
    authenticator, problem = make_authenticator(settings)
    if problem is not None:
        log.error("console: %s", problem)
    context = ConsoleContext(settings, clock, boot_id())
    with open_line() as byte_line:
        terminal = Terminal(
            byte_line, clock.boottime_ns, rows=rows, language=settings.console.language
        )
        if problem is not None:
            terminal.print(problem)
        session = ConsoleSession(
            terminal,
            context,
            authenticator,
            get_lockout(settings.state_dir),
            COMMANDS,
            settings.console.idle_logout_s,
        )
        session.run(ignore_eof=ignore_eof)


def _check_owner(settings: ConsoleSettings) -> None:
    """Raise UserError for another user: files that it writes could not be read by the agent."""
    try:
        owner = settings.state_dir.stat().st_uid
    except OSError:
        return
    if owner != os.geteuid():
        raise UserError(
            f"state folder {str(settings.state_dir)!r}: belongs to the agent's user; "
            f"allowed: sudo -u '#{owner}' vigie console ..."
        )


def _terminal_rows() -> int:
    try:
        return max(MIN_ROWS, os.get_terminal_size().lines)
    except OSError:
        return ROWS

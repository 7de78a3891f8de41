"""Session at the console: greeting, login, commands, logout.

Before the login only `help`, `about`, `language` and `login` are accepted. After it each command is written into the
custody log first, as it was typed.
"""

import difflib
import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

from agent import __version__
from agent.base.errors import UserError
from agent.base.lockout import Lockout
from agent.base.message import Message, Text, message_of
from agent.config.names import TECHNICIAN_NAME_PATTERN
from agent.console.acts import updates
from agent.console.acts.trial import find_trial
from agent.console.console_command import ConsoleCommand
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.login import Authenticator
from agent.console.terminal import HISTORY, Cancelled, EndOfInput, HungUp, IdleTimeout, Terminal
from agent.faults.texts import LANGUAGES
from drivers.errors import DriverError

log = logging.getLogger(__name__)

MIN_PREFIX_CHARS = 2
_WORD_PATTERN = re.compile(r"""'([^']*)'|"([^"]*)"|(\S+)""")

NOT_PROVISIONED = Message("Nobody can log in yet: type about for how to provision this console.")


def print_greeting(terminal: Terminal, context: ConsoleContext, *, is_provisioned: bool) -> None:
    """Print the box, its site and the first command to type."""
    terminal.new_page()
    terminal.print(
        "",
        Message(
            "Vigie {version} - box {box} - {site}",
            version=__version__,
            box=context.box_id,
            site=context.site,
        ),
    )
    if is_provisioned:
        terminal.print(Message("Type login and press enter. Type help for the other commands."))
    else:
        terminal.print(NOT_PROVISIONED)


def print_help(terminal: Terminal) -> None:
    """Print the commands that are accepted before a login."""
    terminal.table(
        (
            ("help", Message("this list")),
            ("about", Message("what this box is, and how the console is provisioned")),
            (f"language {', '.join(LANGUAGES)}", Message("the language of this session")),
            ("login NAME", Message("log in: you see a challenge, and type the answer")),
        )
    )
    terminal.print(Message("After the login: status, check, camera, net and more; see help."))


def print_about(terminal: Terminal, context: ConsoleContext, *, is_provisioned: bool) -> None:
    """Print the box, and how to log in or to provision the console."""
    terminal.print(
        Message(
            "Vigie {version}: the agent of a camera box. Box {box}, {site}.",
            version=__version__,
            box=context.box_id,
            site=context.site,
        ),
        Message("Every login and every command is written into the box's signed custody log."),
    )
    if is_provisioned:
        terminal.print(
            Message(
                "To log in: type login and your name. Read the challenge to the office, or "
                "enter it in your token's app, and type the answer. It is valid once."
            )
        )
        return
    terminal.print(
        Message("This console has no secret yet and knows no technician: nobody can log in."),
        Message("Provision it in the workshop, in one of two ways:"),
    )
    terminal.print_hanging(
        "  - ",
        Message(
            "vigie console-code --new FILE makes a secret; put a copy next to the configuration "
            "as console.secret, mode 600, and keep one in the office"
        ),
    )
    terminal.print_hanging(
        "  - ",
        Message("or add a technician's key: [[console.technician]] id, public_key"),
    )
    terminal.print(Message("then log in. See docs/console.md."))


class LogoutRequested(Exception):
    """The technician logs out."""


class ConsoleSession:
    """One session at one terminal. `idle_timeout_s` ends it without a key press."""

    def __init__(
        self,
        terminal: Terminal,
        context: ConsoleContext,
        authenticator: Authenticator,
        lockout: Lockout,
        commands: Sequence[ConsoleCommand],
        idle_timeout_s: float,
    ) -> None:
        self._terminal = terminal
        self._context = context
        self._authenticator = authenticator
        self._lockout = lockout
        self._commands: Mapping[str, ConsoleCommand] = {
            command.name: command for command in commands
        }
        self._idle_timeout_s = idle_timeout_s
        self._history: list[str] = []
        context.session_language = None

    def run(self, *, ignore_eof: bool) -> None:
        """Serve one login and its session. Raises HungUp.

        Ctrl-D before the login ends it too, unless `ignore_eof`.
        """
        self._print_greeting()
        while True:
            try:
                self._run_login_prompt()
            except EndOfInput:
                if not ignore_eof:
                    return
                self._print_greeting()
            else:
                break
        try:
            self._run_command_prompt()
        finally:
            self._context.page_switch.turn_off()

    def _print_greeting(self) -> None:
        self._terminal.language = self._context.language
        print_greeting(
            self._terminal, self._context, is_provisioned=self._authenticator.is_provisioned
        )

    def _run_login_prompt(self) -> None:
        """Return after a login. Raises EndOfInput or HungUp."""
        terminal, context = self._terminal, self._context
        terminal.idle_timeout_s = None
        terminal.poll_notice = self._poll_silently
        terminal.discard_input()
        prompt = Message("{box} (not logged in)> ", box=context.box_id)
        while True:
            try:
                tokens = tokenize(terminal.read_line(prompt))
                if not tokens:
                    self._print_greeting()
                elif tokens[0] == "help":
                    print_help(terminal)
                elif tokens[0] == "about":
                    print_about(
                        terminal, context, is_provisioned=self._authenticator.is_provisioned
                    )
                elif tokens[0] == "language":
                    context.choose_language(tokens[1:])
                    self._print_greeting()
                elif tokens[0] == "login" and self._log_in(tokens[1:]):
                    return
                elif tokens[0] != "login":
                    terminal.print(
                        Message("Allowed before the login: help, about, language, login.")
                    )
            except ConsoleError as error:
                self._print_error(error)
            except (Cancelled, IdleTimeout):
                continue

    def _log_in(self, argv: Sequence[str]) -> bool:
        terminal, print_lines = self._terminal, self._terminal.print
        if not self._authenticator.is_provisioned:
            print_lines(NOT_PROVISIONED)
            return False
        terminal.idle_timeout_s = self._idle_timeout_s
        try:
            name = self._ask_name(argv)
            if name is None:
                return False
            challenge = self._authenticator.issue_challenge(name)
            print_lines(Message("Challenge:  {challenge}", challenge=challenge.text))
            self._print_delay()
            answer = terminal.read_line(Message("Answer: "))
        finally:
            terminal.idle_timeout_s = None
        return bool(answer) and self._check_answer(name, answer)

    def _ask_name(self, argv: Sequence[str]) -> str | None:
        """Return the technician's name, or None if no answer could be valid for it."""
        print_lines = self._terminal.print
        name = (argv[0] if argv else self._terminal.read_line(Message("Your name: "))).lower()
        if not TECHNICIAN_NAME_PATTERN.fullmatch(name):
            print_lines(
                Message(
                    "A name has up to 32 letters, digits, dots, - and _, as in the office's list."
                )
            )
            return None
        if not self._authenticator.can_authenticate(name):
            print_lines(
                Message(
                    "{name}: no token of that name is known here, and there are no codes.",
                    name=name,
                )
            )
            return None
        return name

    def _check_answer(self, name: str, answer: str) -> bool:
        method = self._authenticate(answer)
        self._context.technician = name
        if method is None:
            log.warning("console: a wrong answer for %s", name)
            self._write_receipt(f"login refused, wrong answers in a row: {self._lockout.failures}")
            self._terminal.print(Message("That is not the answer to this challenge."))
            self._print_delay()
            return False
        self._lockout.reset()
        log.info("console: %s logged in by %s", name, method)
        self._write_receipt(f"login by {method}")
        return True

    def _authenticate(self, answer: str) -> str | None:
        """Return how the answer proves the name, or None. Raises Cancelled or HungUp."""
        if self._authenticator.verify_token(answer):
            return "token"
        self._wait_for_delay()
        # Counted before it is checked: cutting the power in between gains nothing.
        self._lockout.record_attempt()
        return "code" if self._authenticator.verify_code(answer) else None

    def _print_delay(self) -> None:
        """Print how long a code waits after wrong answers, if it does."""
        wait_s = self._remaining_s()
        if wait_s > 0:
            self._terminal.print(
                Message(
                    "SVC-01: {failures} wrong answers in a row. A code is checked in {wait_s:.0f} s at the "
                    "earliest, a token's answer at once.",
                    failures=self._lockout.failures,
                    wait_s=wait_s,
                )
            )

    def _wait_for_delay(self) -> None:
        """Wait until a code may be checked. Raises Cancelled or HungUp: it is not checked then."""
        is_shown = False
        # Another console may take a wrong answer meanwhile.
        while (wait_s := self._remaining_s()) > 0:
            if not is_shown:
                self._terminal.print(
                    Message(
                        "Your answer is checked in {wait_s:.0f} s. Ctrl-C cancels.", wait_s=wait_s
                    )
                )
            key = self._terminal.read_key(min(1.0, wait_s))
            if key == "cancel":
                raise Cancelled
            is_shown = key is None
            self._poll_silently()

    def _remaining_s(self) -> float:
        self._lockout.reload()
        return self._lockout.remaining_s()

    def _run_command_prompt(self) -> None:
        """Return after a logout or the idle timeout. Raises HungUp."""
        terminal, context = self._terminal, self._context
        self._history.clear()
        terminal.idle_timeout_s = self._idle_timeout_s
        terminal.poll_notice = self._poll_notice
        terminal.is_used_elsewhere = context.page_switch.was_used_within
        terminal.print(
            Message(
                "Welcome, {name}. Type status to begin, help for more.", name=context.technician
            )
        )
        self._print_reminder()
        try:
            while True:
                terminal.language = context.language
                try:
                    self._execute(terminal.read_line(f"{context.box_id}> ", self._history))
                except Cancelled:
                    continue
        except LogoutRequested:
            self._log_out(None)
        except EndOfInput:
            self._log_out("logout")
        except IdleTimeout:
            terminal.print(
                "",
                Message("No key was pressed for {idle_s:.0f} s.", idle_s=self._idle_timeout_s),
            )
            self._log_out("idle logout")
        except HungUp:
            self._write_receipt("the line hung up")
            raise

    def _poll_notice(self) -> Text | None:
        context = self._context
        self._remove_uploads()
        return context.config_editor.undo_if_expired() or context.page_switch.poll_notice()

    def _poll_silently(self) -> None:
        """Check commit-confirm and uploads before a login, without a notice to an unknown person."""
        self._remove_uploads()
        self._context.config_editor.undo_if_expired()

    def _remove_uploads(self) -> None:
        """Remove uploads of the page at the pole once root is done with them, also after the end of their session."""
        with suppress(OSError):  # a disk that takes no writes: it is tried again
            updates.remove_unused_uploads(self._context, updates.WRITTEN_WITHIN_S)

    def _print_reminder(self) -> None:
        try:
            trial = find_trial(self._context)
        except OSError as error:
            log.error("console: commit-confirm of the configuration: %s", error)
        else:
            if trial is not None:
                self._terminal.print(trial.text)

    def _log_out(self, reason: str | None) -> None:
        if reason is not None:
            self._write_receipt(reason)
        log.info("console: %s: %s", self._context.technician, reason or "logout")
        self._terminal.print(Message("You are logged out."), "")

    def _execute(self, line: str) -> None:
        tokens = tokenize(line)
        if not tokens:
            return
        self._context.reload_settings()
        if not self._history or self._history[-1] != line:
            self._history = [*self._history, line][-HISTORY:]
        if tokens[0] in ("help", "?"):
            self._print_help(tokens[1:])
            return
        command = self._find_command(tokens[0])
        if command is None:
            return
        receipt_written = self._write_receipt(
            " ".join((command.name, *command.redact_args(tokens[1:])))
        )
        if command.needs_receipt(tokens[1:]) and not receipt_written:
            self._terminal.print(Message("It is not done without a receipt."))
            return
        try:
            command.run(self._terminal, self._context, tokens[1:])
        except (ConsoleError, UserError, DriverError) as error:
            self._print_error(error)
        except OSError as error:
            prefix = f"{error.filename}: " if error.filename else ""
            self._terminal.print(f"{prefix}{error.strerror or error}")

    def _print_error(self, error: ConsoleError | UserError | DriverError) -> None:
        if isinstance(error, ConsoleError) and error.code is not None:
            self._terminal.print_hanging(f"{error.code}: ", message_of(error))
        else:
            self._terminal.print(message_of(error))
        for form in error.usage if isinstance(error, ConsoleError) else ():
            self._terminal.print_hanging("  ", form)

    def _find_command(self, typed: str) -> ConsoleCommand | None:
        """Return the command of a name or of a unique prefix; otherwise print a suggestion."""
        typed_lower = typed.lower()
        exact = self._commands.get(typed_lower)
        if exact is not None:
            return exact
        candidates = [
            name
            for name, command in self._commands.items()
            if name.startswith(typed_lower)
            and len(typed_lower) >= MIN_PREFIX_CHARS
            and not command.requires_full_name
        ]
        if len(candidates) == 1:
            return self._commands[candidates[0]]
        candidates = candidates or difflib.get_close_matches(typed_lower, self._commands, n=2)
        if not candidates:
            self._terminal.print(Message("{typed}: no such command. help lists them.", typed=typed))
            return None
        suggestion: Text = candidates[0]
        for name in candidates[1:]:
            suggestion = Message("{first} or {second}", first=suggestion, second=name)
        self._terminal.print(
            Message(
                "{typed}: no such command. Did you mean {suggestion}? help lists them.",
                typed=typed,
                suggestion=suggestion,
            )
        )
        return None

    def _print_help(self, argv: Sequence[str]) -> None:
        if argv:
            command = self._find_command(argv[0])
            if command is not None:
                self._terminal.print(
                    Message("{command}: {help}", command=command.name, help=command.help)
                )
                self._terminal.table(command.usage, indent="  ")
            return
        self._terminal.table([(command.name, command.help) for command in self._commands.values()])
        self._terminal.print(
            Message("help COMMAND shows how it is used. Ctrl-C cancels a command.")
        )

    def _write_receipt(self, action: str) -> bool:
        """Write a receipt; False, with a line on the screen, if it cannot be written."""
        try:
            self._context.write_receipt(action)
        except ConsoleError as error:
            log.error("console: %s: %s: no receipt: %s", self._context.technician, action, error)
            self._terminal.print(
                Message(
                    "CUS-01: no receipt of this could be written: {error}", error=message_of(error)
                )
            )
            return False
        return True


def tokenize(line: str) -> list[str]:
    """Split a line into words; quotation marks make one word of several."""
    return ["".join(groups) for groups in _WORD_PATTERN.findall(line)]

"""One technician's time at the console: hello, login, commands, goodbye.

Before the login there are `help`, `about` and `login`, and nothing else. After it each command goes
into the chain of custody first, in the words in which it was typed.
"""

import difflib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from agent.base.errors import UserError
from agent.base.lockout import Lockout
from agent.config.names import TECHNICIAN_NAME
from agent.console.login import Authenticator
from agent.console.results import Box, ConsoleError
from agent.console.terminal import HISTORY, Cancelled, EndOfInput, HungUp, Idle, Terminal
from agent.console.trial_status import reminder
from drivers.errors import DriverError

log = logging.getLogger(__name__)

SHORTEST_PREFIX = 2
_SPLIT = re.compile(r"""'([^']*)'|"([^"]*)"|(\S+)""")


class Run(Protocol):
    """What a command does; it raises CannotDo, BadInput, DriverError or OSError."""

    def __call__(self, terminal: Terminal, box: Box, words: Sequence[str]) -> None:
        """With the words after its name."""
        ...


class ConsoleCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command. `receipted`: whether it is not done where that it was done cannot be written down.
    `told`: its words as they are written down. `whole`: its name must be typed to the end.
    """

    name: str
    help: str
    usage: tuple[str, ...]
    run: Run
    receipted: Callable[[Sequence[str]], bool]
    told: Callable[[Sequence[str]], Sequence[str]]
    whole: bool = False


class LeaveSession(Exception):
    """He logs out."""


class ConsoleSession:
    """The console of one box at one terminal, for one technician after the other."""

    def __init__(
        self,
        terminal: Terminal,
        box: Box,
        gate: Authenticator,
        lockout: Lockout,
        commands: Sequence[ConsoleCommand],
        idle_s: float,
    ) -> None:
        self._terminal = terminal
        self._box = box
        self._gate = gate
        self._lockout = lockout
        self._commands: Mapping[str, ConsoleCommand] = {
            command.name: command for command in commands
        }
        self._idle_s = idle_s
        self._history: list[str] = []

    def run(self, *, stays: bool) -> None:
        """Serve the line until somebody has logged in and out again, or it hangs up. A Ctrl-D before
        the login ends it too, unless it `stays`.
        """
        self._greet()
        while True:
            try:
                self._before_login()
            except EndOfInput:
                if not stays:
                    return
                self._greet()
            else:
                break
        self._logged_in()

    def _greet(self) -> None:
        say, box = self._terminal.print, self._box
        self._terminal.new_page()
        say("", f"Vigie {box.version} - box {box.id} - {box.site}")
        if self._gate.provisioned:
            say("Type login and enter. Type help for what else there is.")
        else:
            say("Nobody can log in yet: type about for how to provision this console.")

    def _before_login(self) -> None:
        """Returns when somebody has logged in."""
        terminal = self._terminal
        terminal.idle_s = None
        terminal.watch = self._watch
        terminal.forget()
        while True:
            try:
                words = split(terminal.ask(f"{self._box.id} (not logged in)> "))
                if not words:
                    self._greet()
                elif words[0] == "help":
                    self._help_before()
                elif words[0] == "about":
                    self._about()
                elif words[0] == "login" and self._login(words[1:]):
                    return
                elif words[0] != "login":
                    terminal.print("Only help, about and login before you are logged in.")
            except (Cancelled, Idle):
                continue

    def _help_before(self) -> None:
        self._terminal.table(
            (
                ("help", "this list"),
                ("about", "what this box is, and how the console is provisioned"),
                ("login NAME", "log in: you are shown a challenge, and type the answer"),
            )
        )
        self._terminal.print("After login: status, check, camera, net and more; help lists them.")

    def _about(self) -> None:
        box, say = self._box, self._terminal.print
        say(
            f"Vigie {box.version}: the agent of a camera box. Box {box.id}, {box.site}.",
            "Every login and every command is written into the box's signed chain.",
        )
        if self._gate.provisioned:
            say(
                "To log in: type login and your name. Read the challenge to the office, or",
                "give it to your token's app, and type the answer. Each is good once.",
            )
            return
        say(
            "This console has no secret yet and knows no technician: nobody can log in.",
            "Provision it in the workshop, either way:",
            "  vigie console-code --new FILE makes a secret; put a copy beside the",
            "  configuration as console.secret, mode 600, and keep one in the office",
            "  or name a technician's key: [[console.technician]] id, public_key",
            "then log in. See docs/console.md.",
        )

    def _login(self, words: Sequence[str]) -> bool:
        """Whether somebody is in now."""
        terminal, say = self._terminal, self._terminal.print
        if not self._gate.provisioned:
            say("Nobody can log in yet: type about for how to provision this console.")
            return False
        self._lockout.refresh()
        if self._is_locked():
            return False
        terminal.idle_s = self._idle_s
        try:
            name = self._name(words)
            if name is None:
                return False
            say(f"Challenge:  {self._gate.challenge(name).text}")
            answer = terminal.ask("Answer: ")
        finally:
            terminal.idle_s = None
        return bool(answer) and self._answered(name, answer)

    def _name(self, words: Sequence[str]) -> str | None:
        """Who he says that he is; None where there is no way in for that name."""
        say = self._terminal.print
        name = (words[0] if words else self._terminal.ask("Your name: ")).lower()
        if not TECHNICIAN_NAME.fullmatch(name):
            say("A name has up to 32 letters, digits, dots, - and _, as in the office's list.")
            return None
        if not self._gate.can_know(name):
            say(f"{name}: no token of that name is known here, and there are no codes.")
            return None
        return name

    def _answered(self, name: str, answer: str) -> bool:
        """Whether the answer lets him in. It counts as wrong until it is judged."""
        self._lockout.count()
        proof = self._gate.judge(answer)
        self._box.by = name
        if proof is None:
            log.warning("console: a wrong answer for %s", name)
            self._note(f"login refused, wrong answers in a row: {self._lockout.failures}")
            self._terminal.print("That is not the answer to this challenge.")
            self._is_locked()
            return False
        self._lockout.clear()
        log.info("console: %s logged in by %s", name, proof)
        self._note(f"login by {proof}")
        return True

    def _is_locked(self) -> bool:
        left_s = self._lockout.left_s()
        if left_s <= 0:
            return False
        self._terminal.print(
            f"SVC-01: locked after {self._lockout.failures} wrong answers in a row. "
            f"Try again in {left_s:.0f} s."
        )
        return True

    def _logged_in(self) -> None:
        """Returns when he has logged out, or is not there any more."""
        terminal, box = self._terminal, self._box
        self._history.clear()
        terminal.idle_s = self._idle_s
        terminal.watch = box.config_desk.watch
        terminal.print(f"Welcome, {box.by}. Type status to begin, help for all commands.")
        self._remind()
        try:
            while True:
                try:
                    self._obey(terminal.ask(f"{box.id}> ", self._history))
                except Cancelled:
                    continue
        except LeaveSession:
            self._bye(None)
        except EndOfInput:
            self._bye("logout")
        except Idle:
            terminal.print("", f"Nobody pressed a key for {self._idle_s:.0f} s.")
            self._bye("idle logout")
        except HungUp:
            self._note("the line hung up")
            raise

    def _watch(self) -> None:
        """Before a login nobody is told what goes on."""
        self._box.config_desk.watch()

    def _remind(self) -> None:
        """What somebody has left on trial."""
        try:
            standing = self._box.config_desk.standing()
        except OSError as error:
            log.error("console: the trial of a configuration: %s", error)
        else:
            if standing is not None:
                self._terminal.print(reminder(standing))

    def _bye(self, how: str | None) -> None:
        if how is not None:
            self._note(how)
        log.info("console: %s: %s", self._box.by, how or "logout")
        self._terminal.print("You are logged out.", "")

    def _obey(self, line: str) -> None:
        words = split(line)
        if not words:
            return
        if not self._history or self._history[-1] != line:
            self._history = [*self._history, line][-HISTORY:]
        if words[0] in ("help", "?"):
            self._help(words[1:])
            return
        command = self._found(words[0])
        if command is None:
            return
        kept = self._note(" ".join((command.name, *command.told(words[1:]))))
        if command.receipted(words[1:]) and not kept:
            self._terminal.print("It is not done without a receipt.")
            return
        try:
            command.run(self._terminal, self._box, words[1:])
        except (ConsoleError, UserError, DriverError) as error:
            self._terminal.print(str(error))
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            self._terminal.print(f"{where}{error.strerror or error}")

    def _found(self, word: str) -> ConsoleCommand | None:
        """The command of this name, or the only one that begins so; else a line says what there is."""
        lower = word.lower()
        exact = self._commands.get(lower)
        if exact is not None:
            return exact
        alike = [
            name
            for name, command in self._commands.items()
            if name.startswith(lower) and len(lower) >= SHORTEST_PREFIX and not command.whole
        ]
        if len(alike) == 1:
            return self._commands[alike[0]]
        alike = alike or difflib.get_close_matches(lower, self._commands, n=2)
        maybe = f" Did you mean {' or '.join(alike)}?" if alike else ""
        self._terminal.print(f"{word}: no such command.{maybe} help lists them.")
        return None

    def _help(self, words: Sequence[str]) -> None:
        if words:
            command = self._found(words[0])
            if command is not None:
                self._terminal.print(f"{command.name}: {command.help}")
                self._terminal.print(*(f"  {line}" for line in command.usage))
            return
        self._terminal.table([(one.name, one.help) for one in self._commands.values()])
        self._terminal.print("help COMMAND tells more. Ctrl-C stops what goes on.")

    def _note(self, what: str) -> bool:
        """Whether it stands in the chain."""
        try:
            self._box.note(what)
        except ConsoleError as error:
            log.error("console: %s: %s: no receipt: %s", self._box.by, what, error)
            self._terminal.print(f"CUS-01: no receipt of this could be written: {error}")
            return False
        return True


def split(line: str) -> list[str]:
    """Words; what stands in quotation marks is one."""
    return ["".join(groups) for groups in _SPLIT.findall(line)]

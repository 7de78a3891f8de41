"""The result of one check, and its print on the technician's screen."""

from collections.abc import Iterable, Mapping

import msgspec

from agent.base.message import Message, Text
from agent.console.terminal import Terminal, pad, width

_LABELS: Mapping[bool | None, Text] = {
    True: Message("pass"),
    False: Message("FAIL"),
    None: " -",
}


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """One finding: `ok` is None if it is unknown or does not apply. `code` is the fault's code."""

    subject: Text
    ok: bool | None
    message: Text
    code: str | None = None
    advice: Text | None = None


def passed(subject: Text, message: Text) -> CheckResult:
    """Return a good finding."""
    return CheckResult(subject=subject, ok=True, message=message)


def failed(
    subject: Text, message: Text, code: str | None = None, advice: Text | None = None
) -> CheckResult:
    """Return a bad finding, with the fault's code or with advice."""
    return CheckResult(subject=subject, ok=False, message=message, code=code, advice=advice)


def unknown(subject: Text, message: Text) -> CheckResult:
    """Return a finding that is neither good nor bad."""
    return CheckResult(subject=subject, ok=None, message=message)


def passed_if(subject: Text, message: Text, *, ok: bool, code: str) -> CheckResult:
    """Return a good finding if `ok`, else a bad one with the fault's code."""
    return passed(subject, message) if ok else failed(subject, message, code)


def print_results(terminal: Terminal, results: Iterable[CheckResult], prefix: str = "") -> None:
    """Print each finding with its label, and the advice below a bad one."""
    labels = {ok: terminal.render(label) for ok, label in _LABELS.items()}
    columns = max(width(label) for label in labels.values())
    for result in results:
        code = f" {result.code}" if result.code and result.ok is False else ""
        terminal.print_hanging(
            f"{prefix}{pad(labels[result.ok], columns)}{code} ",
            Message("{subject}: {finding}", subject=result.subject, finding=result.message),
        )
        if result.ok is False and result.advice:
            terminal.print_hanging(f"{' ' * (len(prefix) + columns)} > ", result.advice)
        prefix = " " * len(prefix)

"""The result of one check, and its print on the technician's screen."""

from collections.abc import Iterable

import msgspec

from agent.console.terminal import Terminal

_LABELS = {True: "pass", False: "FAIL", None: " -  "}


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """One finding: `ok` is None if it is unknown or does not apply. `code` is the fault's code."""

    subject: str
    ok: bool | None
    message: str
    code: str | None = None
    advice: str | None = None


def passed(subject: str, message: str) -> CheckResult:
    """Return a good finding."""
    return CheckResult(subject=subject, ok=True, message=message)


def failed(
    subject: str, message: str, code: str | None = None, advice: str | None = None
) -> CheckResult:
    """Return a bad finding, with the fault's code or with advice."""
    return CheckResult(subject=subject, ok=False, message=message, code=code, advice=advice)


def unknown(subject: str, message: str) -> CheckResult:
    """Return a finding that is neither good nor bad."""
    return CheckResult(subject=subject, ok=None, message=message)


def passed_if(subject: str, message: str, *, ok: bool, code: str) -> CheckResult:
    """Return a good finding if `ok`, else a bad one with the fault's code."""
    return passed(subject, message) if ok else failed(subject, message, code)


def print_results(terminal: Terminal, results: Iterable[CheckResult], prefix: str = "") -> None:
    """Print each finding with its label, and the advice below a bad one."""
    for result in results:
        code = f" {result.code}" if result.code and result.ok is False else ""
        terminal.print_hanging(
            f"{prefix}{_LABELS[result.ok]}{code} ", f"{result.subject}: {result.message}"
        )
        if result.ok is False and result.advice:
            terminal.print_hanging(f"{' ' * len(prefix)}     > ", result.advice)
        prefix = " " * len(prefix)

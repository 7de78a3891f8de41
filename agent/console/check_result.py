"""The result of one check, its agreement with the agent's faults, and its print on the screen."""

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from agent.base.health_model import Fault
from agent.base.message import Message, Text
from agent.console.messages.details import find_detail
from agent.console.terminal import Terminal, pad, width
from agent.faults.diagnosis import Finding
from agent.faults.registry import FaultCode
from agent.health.machine_faults import FAULT_TIMES_S

_LABELS: Mapping[bool | None, Text] = {
    True: Message("pass"),
    False: Message("FAIL"),
    None: " -",
}


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """One finding: `ok` is None if it is unknown or does not apply. `code` is the fault's code.

    `fault_subject` is the subject of that fault, None for any. `is_reading`: a reading beyond a threshold
    of the agent, whose fault also needs a while to come and to go. `is_fault`: False for a bad finding that
    is not a fault of the running agent; its code gives the advice and is not printed.
    `is_applicable`: False if the box has no such part.
    """

    subject: Text
    ok: bool | None
    message: Text
    code: str | None = None
    advice: Text | None = None
    fault_subject: str | None = None
    is_reading: bool = False
    is_fault: bool = True
    is_applicable: bool = True

    @property
    def is_unknown(self) -> bool:
        """True if it could not be found out, although it applies to the box."""
        return self.ok is None and self.is_applicable

    @property
    def shown_code(self) -> str | None:
        """The code as it is printed: that of a bad finding which is a fault."""
        return self.code if self.ok is False and self.is_fault else None


def passed(subject: Text, message: Text) -> CheckResult:
    """Return a good finding."""
    return CheckResult(subject=subject, ok=True, message=message)


def failed(
    subject: Text, message: Text, code: str | None = None, advice: Text | None = None
) -> CheckResult:
    """Return a bad finding, with the fault's code or with advice."""
    return CheckResult(
        subject=subject, ok=False, message=find_detail(message), code=code, advice=advice
    )


def unknown(subject: Text, message: Text) -> CheckResult:
    """Return a finding that is neither good nor bad."""
    return CheckResult(subject=subject, ok=None, message=find_detail(message))


def not_applicable(subject: Text, message: Text) -> CheckResult:
    """Return the finding that the box has no such part."""
    return CheckResult(subject=subject, ok=None, message=message, is_applicable=False)


def passed_if(
    subject: Text, message: Text, *, ok: bool, code: str, fault_subject: str | None = None
) -> CheckResult:
    """Return a reading: good if `ok`, else bad with the fault's code."""
    return CheckResult(
        subject=subject,
        ok=ok,
        message=message,
        code=code,
        fault_subject=fault_subject,
        is_reading=True,
    )


def result_of(subject: Text, finding: Finding) -> CheckResult:
    """Return the result of a finding about the agent's report."""
    return CheckResult(
        subject=subject,
        ok=finding.is_good,
        message=find_detail(finding.words),
        code=finding.code,
        fault_subject=finding.fault_subject,
    )


def agree_with_faults(
    results: Iterable[CheckResult], faults: Iterable[Fault], codes: Collection[FaultCode]
) -> Iterator[CheckResult]:
    """Yield the results such that they name a fault if, and only if, the running agent has it.

    `check` and `faults` then agree. A reading beyond its threshold is bad once the agent's fault has come,
    and as long as it is there. A bad result of what the console itself has tried stays bad, without a code.
    Active faults of `codes` that no result names are added.
    """
    unnamed = {(fault.code, fault.subject): fault for fault in faults}
    active = tuple(unnamed.values())
    for result in results:
        matching = [
            fault
            for fault in active
            if fault.code == result.code and result.fault_subject in (None, fault.subject)
        ]
        if matching and (result.ok is False or result.is_reading):
            for fault in matching:
                unnamed.pop((fault.code, fault.subject), None)
            yield msgspec.structs.replace(result, ok=False, message=_fading_message(result))
        elif result.ok is not False or result.code is None:
            yield result
        elif result.is_reading:
            yield msgspec.structs.replace(result, ok=None)
        else:
            message = Message("{finding}; the agent has not raised a fault", finding=result.message)
            yield msgspec.structs.replace(result, message=message, is_fault=False)
    for fault in unnamed.values():
        if fault.code in codes:
            yield failed(fault.subject, fault.translatable_detail or fault.title, fault.code)


def _fading_message(result: CheckResult) -> Text:
    """Return the reading of an active fault; a good one says how long it has to stay good."""
    times_s = next((s for code, s in FAULT_TIMES_S.items() if code == result.code), None)
    if not result.ok or times_s is None:
        return result.message
    return Message(
        "{finding}; better now: the fault ends after {seconds:.0f} s of good readings",
        finding=result.message,
        seconds=times_s[1],
    )


def print_results(terminal: Terminal, results: Iterable[CheckResult], prefix: str = "") -> None:
    """Print each finding with its label, and the advice below a bad one."""
    labels = {ok: terminal.render(label) for ok, label in _LABELS.items()}
    columns = max(width(label) for label in labels.values())
    for result in results:
        code = f" {result.shown_code}" if result.shown_code else ""
        terminal.print_hanging(
            f"{prefix}{pad(labels[result.ok], columns)}{code} ",
            Message("{subject}: {finding}", subject=result.subject, finding=result.message),
        )
        if result.ok is False and result.advice:
            terminal.print_hanging(f"{' ' * (len(prefix) + columns)} > ", result.advice)
        prefix = " " * len(prefix)

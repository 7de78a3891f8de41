"""Active faults with advice, and the text of a fault code, in the technician's language."""

from typing import Annotated

import msgspec

from agent.base.health_model import Fault
from agent.base.message import Message, Text
from agent.commands.command import NoArguments
from agent.console.acts.act import ActCall, act
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.messages.details import find_detail
from agent.faults.registry import FAULTS, FaultCode


class ActiveFault(msgspec.Struct, frozen=True, kw_only=True):
    """One active fault. `severity`, `title` and `advice` are in the technician's language."""

    code: str
    severity: str
    title: str
    subject: str
    age_s: float
    detail: Text
    advice: str | None


class FaultList(msgspec.Struct, frozen=True, kw_only=True):
    """The faults of the agent's newest report, the worst first.

    `faults` is None without a report. `is_current` is False if the agent does not run: the report is its last one.
    """

    agent: Text
    is_current: bool
    faults: tuple[ActiveFault, ...] | None


class FaultText(msgspec.Struct, frozen=True, kw_only=True):
    """The text of a fault code, in the technician's language."""

    code: str
    severity: str
    title: str
    means: str
    at_box: str
    at_centre: str


class FaultArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fault code."""

    code: Annotated[str, msgspec.Meta(max_length=16)]


@act(lane="status", typed="faults")
def faults(call: ActCall, _args: NoArguments) -> FaultList:
    """Return the active faults, with the advice of the runbook."""
    context = call.context
    agent_state = context.agent_state()
    report = agent_state.report
    return FaultList(
        agent=agent_state.words,
        is_current=agent_state.state == "running",
        faults=None
        if report is None
        else tuple(_explain(context, fault) for fault in report.faults),
    )


@act(lane="status", typed="faults CODE")
def fault(call: ActCall, args: FaultArgs) -> FaultText:
    """Return the text of a fault code. Raises ConsoleError if there is no such code."""
    code = next((code for code in FAULTS if code == args.code.upper()), None)
    if code is None:
        raise ConsoleError(
            Message("faults {given}: no such code; faults all lists them", given=args.code)
        )
    return _text_of(call.context, code)


def describe_all_faults(context: ConsoleContext) -> tuple[FaultText, ...]:
    """Return the text of each code, sorted."""
    return tuple(_text_of(context, code) for code in sorted(FAULTS))


def _text_of(context: ConsoleContext, code: FaultCode) -> FaultText:
    texts = context.fault_texts()
    guidance = texts.faults[code]
    return FaultText(
        code=code,
        severity=texts.headings.severity_name(FAULTS[code].severity),
        title=guidance.title,
        means=guidance.means,
        at_box=guidance.at_box,
        at_centre=guidance.at_centre,
    )


def _explain(context: ConsoleContext, fault: Fault) -> ActiveFault:
    guidance = context.fault_guidance(fault.code)
    return ActiveFault(
        code=fault.code,
        severity=context.fault_texts().headings.severity_name(fault.severity),
        title=guidance.title if guidance else fault.title,
        subject=fault.subject,
        age_s=max(0.0, (context.clock.boottime_ns() - fault.since_ns) / 1e9),
        detail=find_detail(fault.translatable_detail),
        advice=None if guidance is None else guidance.at_box,
    )

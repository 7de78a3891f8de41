"""Acts on the box as a whole: its state, checks, faults, the link, the support bundle, a restart."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from agent.base.message import Message, Text, join_phrases
from agent.console.acts import devices, faults, link, status
from agent.console.check_result import CheckResult
from agent.console.checks import CHECKS, LINK_CHECKS, Check, run_check
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.diagnostics.support_bundle.builder import format_result, make_bundle
from agent.faults.texts import LANGUAGES
from agent.health.reboot_request import request_reboot
from agent.pole_page.act import Act, ActCall, Download, Lines, NoArgs


class AgentWords(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's state, see `agent.console.agent_process`."""

    state: str
    words: Text


class SessionCamera(msgspec.Struct, frozen=True, kw_only=True):
    """A camera, the head that it is mounted on, and whether an institution lends it."""

    name: str
    head: str | None
    is_lent: bool


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The box and the technician. `language` is that of the console's session."""

    box: str
    site: Text
    technician: str
    language: str
    languages: tuple[str, ...]
    agent: AgentWords
    cameras: tuple[SessionCamera, ...]
    heads: tuple[str, ...]


class CheckArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The numbers of the checks, by default all."""

    numbers: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=1, le=len(CHECKS))], ...],
        msgspec.Meta(max_length=len(CHECKS)),
    ] = ()


class ResultLine(msgspec.Struct, frozen=True, kw_only=True):
    """One result of a check."""

    subject: Text
    ok: bool | None
    message: Text
    code: str | None
    advice: Text | None


class CheckLine(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one check."""

    number: int
    name: Text
    is_good: bool
    results: tuple[ResultLine, ...]


class PingArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The number of round trips."""

    count: Annotated[int, msgspec.Meta(ge=1, le=link.MAX_PINGS)] = link.DEFAULT_PINGS


class FaultArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fault code."""

    code: Annotated[str, msgspec.Meta(max_length=16)]


class BundleValue(msgspec.Struct, frozen=True, kw_only=True):
    """A support bundle to download."""

    name: str
    size_bytes: int
    lines: tuple[Text, ...]


class BoxArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The box's id, which the technician types as a confirmation."""

    box: Annotated[str, msgspec.Meta(max_length=64)]

    def confirm(self, context: ConsoleContext) -> None:
        """Raise ConsoleError unless it is this box's id."""
        if self.box != context.box_id:
            raise ConsoleError(
                Message(
                    "box {typed}: allowed: {box}, as a confirmation",
                    typed=self.box,
                    box=context.box_id,
                )
            )


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome in words."""

    text: Text


def read_session(call: ActCall, _args: NoArgs) -> Session:
    """Return the box and the technician."""
    context = call.context
    agent_state = context.agent_state()
    config = context.config
    head_of = {} if config is None else {head.camera: head.name for head in config.head}
    return Session(
        box=context.box_id,
        site=context.site,
        technician=context.technician,
        language=call.state.console_language,
        languages=LANGUAGES,
        agent=AgentWords(state=agent_state.state, words=agent_state.words),
        cameras=tuple(
            SessionCamera(
                name=camera.name,
                head=head_of.get(camera.name),
                is_lent=camera.institution is not None,
            )
            for camera in (() if config is None else config.camera)
        ),
        heads=context.head_names,
    )


def run_checks(call: ActCall, args: CheckArgs) -> Lines:
    """Run the checks, one after the other."""
    return Lines(
        _run(call, [check for check in CHECKS if not args.numbers or check.number in args.numbers])
    )


def run_link_checks(call: ActCall, _args: NoArgs) -> Lines:
    """Run the checks of the link. The first that fails explains those after it."""
    return Lines(_run(call, LINK_CHECKS))


def ping(call: ActCall, args: PingArgs) -> Lines:
    """Connect to the broker as the agent does, and time its answers."""
    return Lines(to_line(result) for result in link.ping_broker(call.context, args.count))


def find_devices(call: ActCall, _args: NoArgs) -> Lines:
    """Search the box's networks: a configured camera or head that does not answer is a bad result."""
    return Lines(map(_to_device_line, devices.search_devices(call.context, devices.list_subnets())))


def _to_device_line(device: devices.Device) -> ResultLine:
    return ResultLine(
        subject=join_phrases(device.address, device.mac, *device.peers),
        ok=bool(device.answers) if device.peers else None,
        message=join_phrases(*device.answers) or Message("no answer"),
        code=None,
        advice=None,
    )


def download_bundle(call: ActCall, _args: NoArgs) -> Download:
    """Make a support bundle; the box keeps nothing of it."""
    with tempfile.TemporaryDirectory(prefix="vigie-") as folder:
        context = call.context
        result = make_bundle(
            context.config_path,
            Path(folder),
            context.clock,
            default_state_dir=context.state_dir,
        )
        fd = os.open(result.path, os.O_RDONLY | os.O_CLOEXEC)
    # The path names a folder that is gone: its lines do not.
    named = msgspec.structs.replace(result, path=Path(result.path.name))
    value = BundleValue(
        name=result.path.name,
        size_bytes=result.size_bytes,
        lines=tuple(format_result(named)),
    )
    return Download(fd, value)


def reboot(call: ActCall, args: BoxArgs) -> Outcome:
    """Request a reboot."""
    args.confirm(call.context)
    request_reboot(call.context.runtime_dir)
    return Outcome(text=Message("The box restarts within seconds. Come back in a minute."))


def _run(call: ActCall, checks: Iterable[Check]) -> Iterator[CheckLine]:
    for check in checks:
        outcome = run_check(call.context, check)
        yield CheckLine(
            number=outcome.number,
            name=outcome.name,
            is_good=outcome.is_good,
            results=tuple(map(to_line, outcome.results)),
        )


def to_line(result: CheckResult) -> ResultLine:
    """Return a result as the page shows it."""
    return ResultLine(
        subject=result.subject,
        ok=result.ok,
        message=result.message,
        code=result.shown_code,
        advice=result.advice if result.ok is False else None,
    )


ACTS = {
    "session": Act(run=read_session, lane="status"),
    "status": Act(run=lambda call, _args: status.read_status(call.context), lane="status"),
    "check": Act(
        run=run_checks,
        lane="work",
        args_type=CheckArgs,
        receipt=lambda _call, args: " ".join(("check", *map(str, args.numbers))),
    ),
    "net": Act(run=run_link_checks, lane="work", receipt=lambda _call, _args: "net"),
    "mqtt_ping": Act(
        run=ping, lane="work", args_type=PingArgs, receipt=lambda _call, _args: "mqtt ping"
    ),
    "devices": Act(run=find_devices, lane="work", receipt=lambda _call, _args: "net devices"),
    "faults": Act(run=lambda call, _args: faults.list_faults(call.context), lane="status"),
    "fault": Act(
        run=lambda call, args: faults.describe_fault(call.context, args.code),
        lane="status",
        args_type=FaultArgs,
    ),
    "bundle": Act(run=download_bundle, lane="work", receipt=lambda _call, _args: "bundle"),
    "reboot": Act(
        run=reboot,
        lane="status",
        args_type=BoxArgs,
        receipt=lambda _call, _args: "reboot confirmed",
    ),
}

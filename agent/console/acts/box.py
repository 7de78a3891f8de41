"""Acts on the box as a whole: its session, checks, the support bundle, a restart."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec

from agent.base.message import Message, Text
from agent.commands.command import NoArguments
from agent.console.acts.act import CHECK_S, LONG_S, ActCall, BoxArgs, Download, Lines, Outcome, act
from agent.console.checks import CHECKS, LINK_CHECKS, CheckOutcome, run_check
from agent.diagnostics.support_bundle.builder import format_result, make_bundle
from agent.faults.texts import LANGUAGES
from agent.health.reboot_request import request_reboot


class AgentWords(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's state, see `agent.console.agent_process`."""

    state: str
    words: Text


class SessionCamera(msgspec.Struct, frozen=True, kw_only=True):
    """A camera, the fisheye camera whose view it is, the head that it is mounted on, and whether an institution lends it."""

    name: str
    view_of: str | None
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

    @property
    def typed_numbers(self) -> str:
        """The numbers in a receipt, "" for all."""
        return " ".join(map(str, self.numbers))


class BundleValue(msgspec.Struct, frozen=True, kw_only=True):
    """A support bundle to download."""

    name: str
    size_bytes: int
    lines: tuple[Text, ...]


@act(lane="status")
def session(call: ActCall, _args: NoArguments) -> Session:
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
                view_of=camera.view_of,
                head=head_of.get(camera.name),
                is_lent=camera.institution is not None,
            )
            for camera in (() if config is None else config.camera)
        ),
        heads=context.head_names,
    )


@act(lane="work", typed="check", timeout_s=CHECK_S, receipt="check {args.typed_numbers}")
def check(call: ActCall, args: CheckArgs) -> Lines[CheckOutcome]:
    """Run the numbered checks, or some of them, one after the other."""
    chosen = (check for check in CHECKS if not args.numbers or check.number in args.numbers)
    return Lines(run_check(call.context, check) for check in chosen)


@act(lane="work", typed="net", timeout_s=CHECK_S, receipt="net")
def net(call: ActCall, _args: NoArguments) -> Lines[CheckOutcome]:
    """Run the checks of the link. The first that fails explains those after it."""
    return Lines(run_check(call.context, check) for check in LINK_CHECKS)


@act(lane="work", typed="bundle", timeout_s=LONG_S, receipt="bundle")
def bundle(call: ActCall, _args: NoArguments) -> Download[BundleValue]:
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


@act(lane="status", needs="root", typed="reboot", receipt="reboot confirmed")
def reboot(call: ActCall, args: BoxArgs) -> Outcome:
    """Restart the box."""
    args.confirm(call.context)
    request_reboot(call.context.runtime_dir)
    return Outcome(text=Message("The box restarts within seconds. Come back in a minute."))

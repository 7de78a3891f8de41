"""Acts on the box as a whole: its session, checks, the support bundle, a restart."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec

from agent.base.message import Message, Text
from agent.console.acts.act import (
    CHECK_S,
    LONG_S,
    Act,
    ActCall,
    BoxArgs,
    Download,
    Lines,
    NoArgs,
    Outcome,
)
from agent.console.checks import CHECKS, LINK_CHECKS, CheckOutcome, run_check
from agent.diagnostics.support_bundle.builder import format_result, make_bundle
from agent.faults.texts import LANGUAGES
from agent.health.reboot_request import request_reboot


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

    @property
    def suffix(self) -> str:
        """The numbers in a receipt, each after a blank."""
        return "".join(f" {number}" for number in self.numbers)


class BundleValue(msgspec.Struct, frozen=True, kw_only=True):
    """A support bundle to download."""

    name: str
    size_bytes: int
    lines: tuple[Text, ...]


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


def run_checks(call: ActCall, args: CheckArgs) -> Lines[CheckOutcome]:
    """Run the checks, one after the other."""
    chosen = (check for check in CHECKS if not args.numbers or check.number in args.numbers)
    return Lines(run_check(call.context, check) for check in chosen)


def run_link_checks(call: ActCall, _args: NoArgs) -> Lines[CheckOutcome]:
    """Run the checks of the link. The first that fails explains those after it."""
    return Lines(run_check(call.context, check) for check in LINK_CHECKS)


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


ACTS = (
    Act(
        name="session",
        summary="the box and the technician",
        run=read_session,
        args_type=NoArgs,
        lane="status",
    ),
    Act(
        name="check",
        summary="the 16 numbered checks, or some of them",
        run=run_checks,
        args_type=CheckArgs,
        lane="work",
        typed="check",
        reply="lines",
        timeout_s=CHECK_S,
        receipt="check{args.suffix}",
    ),
    Act(
        name="net",
        summary="the checks of the link",
        run=run_link_checks,
        args_type=NoArgs,
        lane="work",
        typed="net",
        reply="lines",
        timeout_s=CHECK_S,
        receipt="net",
    ),
    Act(
        name="bundle",
        summary="a signed support bundle",
        run=download_bundle,
        args_type=NoArgs,
        lane="work",
        typed="bundle",
        reply="file",
        timeout_s=LONG_S,
        receipt="bundle",
    ),
    Act(
        name="reboot",
        summary="a restart of the box",
        run=reboot,
        args_type=BoxArgs,
        lane="status",
        needs="root",
        typed="reboot",
        receipt="reboot confirmed",
    ),
)

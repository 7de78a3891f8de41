"""Commands of the box's own care: restart, reboot, renewal and declaration, and those of packages above this one."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import msgspec

from agent.app.birth import BirthBuilder
from agent.app.certificate_renewal import CertificateRenewal
from agent.app.clip_service import ClipService
from agent.app.declare_command import DeclareCommandHandler
from agent.base import slot_state
from agent.base.clock import Clock, boot_id
from agent.clips.upload_queue import UploadQueue
from agent.clips.upload_replies import UploadReplies
from agent.commands.command import CommandHandler
from agent.commands.pending_commands import PendingCommandStore, ResumeCommand
from agent.config.configuration import Config
from agent.config.link import LinkConfig
from agent.faults.registry import FaultRegistry
from agent.health.health_file import get_runtime_dir
from agent.health.reboot_command import RebootCommandHandler
from agent.health.restart_command import FindObstacle, RestartCommandHandler
from agent.health.update_fault import SLOT_STATE_DIR
from agent.reporting.mqtt.session import MqttSession
from agent.runtime.stage import Stage


class CareServices(msgspec.Struct, frozen=True, kw_only=True):
    """Services of the box for the commands of its care.

    `record_action` takes a requester and an action for the custody log. `find_obstacle` says why the box must not be
    disturbed now. `uploads` are sent within the link's budget; `upload_replies` answer their commands.
    """

    state_dir: Path
    link: LinkConfig
    uploads: UploadQueue
    upload_replies: UploadReplies
    clock: Clock
    boot: str
    pending: PendingCommandStore
    record_action: Callable[[str, str], None]
    find_obstacle: FindObstacle


class AddedCommands(msgspec.Struct, frozen=True, kw_only=True):
    """Commands that a package above `app` brings, and their stages.

    `reboot_obstacles` say why a reboot would do harm now. `resume` continues commands of an earlier run.
    """

    handlers: tuple[CommandHandler, ...] = ()
    stages: tuple[Stage, ...] = ()
    reboot_obstacles: tuple[FindObstacle, ...] = ()
    resume: Callable[[ResumeCommand], None] = lambda _: None


MakeAddedCommands: TypeAlias = Callable[[CareServices], AddedCommands]


def no_added_commands(_services: CareServices) -> AddedCommands:
    """Return no commands."""
    return AddedCommands()


class CareCommands:
    """The handlers of these commands, and their stages. `machine_root` contains `state`.

    `stop_agent` begins the agent's stop in order; None if nothing would start it again.
    """

    def __init__(  # noqa: PLR0913 - everything that a box's care has to do with
        self,
        config: Config,
        machine_root: Path,
        clock: Clock,
        faults: FaultRegistry,
        rng: random.Random,
        clips: ClipService,
        record_action: Callable[[str, str], None],
        births: BirthBuilder,
        *,
        stop_agent: Callable[[], None] | None,
        make_added_commands: MakeAddedCommands,
    ) -> None:
        self.obstacles: list[FindObstacle] = []
        """Say why the box must not be disturbed now. A part of the box that runs such a thing adds its own."""
        self._machine_root = machine_root
        self._births = births
        self._session: MqttSession | None = None
        state_dir = Path(config.box.state)
        services = CareServices(
            state_dir=state_dir,
            link=config.link,
            uploads=clips.queue,
            upload_replies=clips.replies,
            clock=clock,
            boot=boot_id(),
            pending=PendingCommandStore(state_dir),
            record_action=record_action,
            find_obstacle=self._find_obstacle,
        )
        self._renewal = CertificateRenewal(config, clock, faults, rng, record_action)
        self._added = make_added_commands(services)
        self._restart = RestartCommandHandler(
            services.pending, services.boot, record_action, stop_agent, [self._find_obstacle]
        )
        self._reboot = RebootCommandHandler(
            services.pending,
            services.boot,
            get_runtime_dir(state_dir),
            record_action,
            (self._find_obstacle, self._find_trial, *self._added.reboot_obstacles),
        )
        self.handlers: tuple[CommandHandler, ...] = (
            self._restart,
            self._reboot,
            self._renewal.handler,
            DeclareCommandHandler(births.build_declaration, self._publish_declaration),
            *self._added.handlers,
        )
        self.stages = (*self._added.stages, *self._renewal.stages)

    def set_session(self, session: MqttSession) -> None:
        """Set the session that publishes the declaration and uses a renewed certificate. Before it starts."""
        self._session = session
        self._renewal.set_session(session)
        self._births.set_change_listener(session.request_reports)

    def resume(self, resume_command: ResumeCommand) -> None:
        """Continue the commands that an earlier run has accepted. Called before the stages start."""
        self._restart.resume(resume_command)
        self._reboot.resume(resume_command)
        self._added.resume(resume_command)

    def _find_obstacle(self) -> str | None:
        reasons = (find_obstacle() for find_obstacle in self.obstacles)
        return next((reason for reason in reasons if reason is not None), None)

    def _find_trial(self) -> str | None:
        if slot_state.read(self._machine_root / SLOT_STATE_DIR).is_on_trial:
            return "the system is on trial: a reboot before it is found good would give it up"
        return None

    def _publish_declaration(self) -> None:
        if self._session is not None:
            self._session.request_reports()

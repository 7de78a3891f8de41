"""The commands about footage, and their thread."""

from collections.abc import Mapping, Sequence

from agent.app.box_services import BoxServices
from agent.commands.command import CommandHandler
from agent.config.configuration import Config, InstitutionConfig
from agent.footage.footage_access import FootageAccess
from agent.footage.footage_worker import FootageWorker
from agent.footage.hold_command import HoldCommandHandler
from agent.footage.list_command import ListCommandHandler
from agent.footage.release_command import ReleaseCommandHandler
from agent.recording.retention.hold_store import HoldStore
from agent.runtime.stage import Stage


class FootageCommands:
    """The handlers of `list`, `hold` and `release`. `stages` has the thread that reads the archive."""

    def __init__(
        self,
        config: Config,
        services: BoxServices,
        hold_store: HoldStore,
        policies: Mapping[str, InstitutionConfig],
        cameras: frozenset[str],
    ) -> None:
        access = FootageAccess(
            services.footage_dir, services.custody_log, services.clock, policies, cameras
        )
        worker = FootageWorker()
        self.stages: Sequence[Stage] = (worker.stage,)
        self.handlers: Sequence[CommandHandler] = (
            ListCommandHandler(access, hold_store, worker, services.clock),
            HoldCommandHandler(access, hold_store, worker, config.hold.command_days),
            ReleaseCommandHandler(access, hold_store),
        )

"""Clips of a box: the command `clip`, its queue and its stage."""

import random
from collections.abc import Callable
from pathlib import Path

from agent.app.box_services import BoxServices
from agent.app.publisher import Publisher
from agent.base.health_model import OutboxHealth
from agent.clips.clip_command import ClipCommandHandler
from agent.clips.upload_queue import UploadQueue
from agent.clips.upload_replies import UploadReplies
from agent.clips.upload_stage import UploadSettings, UploadStage, usage_file
from agent.commands.pending_commands import ResumeCommand
from agent.config.configuration import Config
from agent.config.link import LinkConfig
from agent.recording import catalogue
from agent.recording.owner_policy import OwnerPolicies
from agent.runtime.link_budget import DayUsage, LinkBudget

MAX_OUTBOX_AGE_S = 10.0
"""Messages that have waited for longer have the link before clips, while a centre listens."""


class ClipService:
    """Clips that the centre fetches. `handler` is for the dispatcher, `stage` for the supervisor."""

    def __init__(
        self,
        config: Config,
        services: BoxServices,
        policies: OwnerPolicies,
        rng: random.Random,
        publisher: Publisher,
        outbox_health: Callable[[], OutboxHealth],
    ) -> None:
        self._outbox_health = outbox_health
        queue = self.queue = UploadQueue.open(services.state_dir)
        replies = self.replies = UploadReplies(queue)
        settings = UploadSettings(
            state_dir=services.state_dir,
            box=services.box_id,
            ca=config.link.ca,
            configured_reserve_bytes=config.record.reserve_bytes,
        )
        self.stage = UploadStage(
            settings,
            queue,
            services.link_budget,
            services.clock,
            rng,
            publisher.record_clip_sent,
            replies,
            self._is_outbox_behind,
        )
        self.handler = ClipCommandHandler(
            config.link,
            queue,
            replies,
            lambda: catalogue.list_cameras(services.footage_dir),
            policies,
            services.clock,
        )

    def resume(self, resume_command: ResumeCommand) -> None:
        """Continue the commands of an earlier run. Called before the stages start."""
        self.replies.resume(resume_command)

    def _is_outbox_behind(self) -> bool:
        outbox = self._outbox_health()
        age_s = outbox.oldest_age_s or 0.0
        return outbox.connected and outbox.centre_listening and age_s > MAX_OUTBOX_AGE_S


def open_link_budget(link: LinkConfig, state_dir: Path) -> LinkBudget:
    """Return the budget of the box's uplink, with what was sent today before a restart."""
    used = usage_file(state_dir).load() or DayUsage()
    return LinkBudget(link.rate_kbit_s, link.bytes_per_day, used)

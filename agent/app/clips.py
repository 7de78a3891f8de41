"""Clips of a box: the command `clip`, its queue and its stage, and the clips of encrypted footage for programs of the box."""

from collections.abc import Callable, Sequence
from functools import partial

from agent.app.box_context import BoxContext
from agent.app.feature import Feature
from agent.app.publisher import Publisher
from agent.base.health_model import OutboxHealth
from agent.clips.clip_admission import ClipAdmission
from agent.clips.clip_command import ClipCommandHandler
from agent.clips.upload_queue import UploadQueue
from agent.clips.upload_replies import UploadReplies
from agent.clips.upload_stage import UploadSettings, UploadStage
from agent.config.configuration import Config
from agent.config.recording import RecordConfig
from agent.pipeline.camera_pipeline import CameraPipeline
from agent.recording import catalogue
from agent.recording.export.clip_request import ClipRequest
from agent.recording.export.clip_server import ClipHandler
from agent.recording.owner_policy import OwnerPolicies
from agent.runtime.control_socket import ControlSocket
from agent.runtime.link_budget import LinkBudget
from agent.runtime.supervisor import Order

MAX_OUTBOX_AGE_S = 10.0
"""Messages that have waited for longer have the link before clips, while a centre listens."""


class Clips:
    """Clips that the centre fetches. `admission`, `queue` and `replies` are for others that send files within the link's budget."""

    def __init__(
        self,
        config: Config,
        box: BoxContext,
        link_budget: LinkBudget,
        policies: OwnerPolicies,
        publisher: Publisher,
        outbox_health: Callable[[], OutboxHealth],
    ) -> None:
        queue = self.queue = UploadQueue.open(box.state_dir)
        replies = self.replies = UploadReplies(queue)
        settings = UploadSettings(
            state_dir=box.state_dir,
            box=box.id,
            ca=config.link.ca,
            configured_reserve_bytes=config.record.reserve_bytes,
        )
        stage = UploadStage(
            settings,
            queue,
            link_budget,
            box.clock,
            box.rng,
            publisher.record_clip_sent,
            replies,
            partial(_is_outbox_behind, outbox_health),
        )
        admission = self.admission = ClipAdmission(
            config.link, lambda: catalogue.list_cameras(box.footage_dir), policies, box.clock
        )
        self.feature = Feature(
            stages={Order.UPLOADS: [stage]},
            handlers=(ClipCommandHandler(admission, queue, replies),),
            resume=replies.resume,
            set_level=stage.set_level,
        )


def make_encrypted_clips(
    record: RecordConfig,
    box: BoxContext,
    pipelines: Sequence[CameraPipeline],
    publisher: Publisher,
    control_socket: ControlSocket,
) -> Feature:
    """Add the control socket's method `clips`, which only the agent has the keys for, and return its worker.

    Without encryption there is none: clips are then cut from the files.
    """
    if not record.recipient:
        return Feature()
    key_rings = {
        pipeline.name: pipeline.key_ring.get for pipeline in pipelines if pipeline.record_stage
    }
    clips = ClipHandler(
        box.footage_dir, key_rings, box.clock.boottime_ns, publisher.record_clip_view
    )
    worker = control_socket.add_blocking_method("clips", ClipRequest, clips.handle)
    return Feature(stages={Order.CLIPS: [worker]})


def _is_outbox_behind(outbox_health: Callable[[], OutboxHealth]) -> bool:
    outbox = outbox_health()
    age_s = outbox.oldest_age_s or 0.0
    return outbox.connected and outbox.centre_listening and age_s > MAX_OUTBOX_AGE_S

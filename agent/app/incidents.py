"""The incidents of a box: their stage, with the holds, heads, pictures and rates that it works on."""

from collections.abc import Callable, Sequence

from agent.app.actuators import Actuators
from agent.app.box_context import BoxContext
from agent.app.foundation import Archive, Uplink
from agent.base.model import CommandAccepted, CommandProgress, Reply
from agent.commands.dispatcher import CommandDispatcher
from agent.commands.requester import Requester
from agent.config.configuration import Config
from agent.detection.image import encode_snapshot
from agent.incident.incident_heads import IncidentHeads, RunCommand
from agent.incident.incident_holds import IncidentHolds
from agent.incident.incident_pictures import IncidentPictures
from agent.incident.incident_rates import IncidentRates
from agent.incident.incident_stage import IncidentEffects, IncidentReporter, IncidentStage, JobQueue
from agent.incident.order import make_order_reader, permits_by
from agent.incident.record import IncidentStore
from agent.pipeline.camera_pipeline import CameraPipeline
from agent.ptz import ptz_args


def make_incident_stage(
    config: Config,
    box: BoxContext,
    store: IncidentStore,
    archive: Archive,
    uplink: Uplink,
    pipelines: Sequence[CameraPipeline],
    actuators: Actuators,
    dispatcher: CommandDispatcher,
) -> IncidentStage:
    """Build the stage of a box."""
    clock, publisher = box.clock, uplink.publisher
    permits = permits_by(config.control)
    recorded = [pipeline for pipeline in pipelines if pipeline.record_stage is not None]
    holds = IncidentHolds(
        archive.holds,
        clock,
        box.boot,
        box.new_id,
        box.faults,
        {pipeline.name: archive.policies.get(pipeline.name) for pipeline in recorded},
        config.hold.command_days,
        permits,
    )
    jobs = JobQueue()
    heads = IncidentHeads(
        config.box.id,
        {head.name: head.camera for head in config.head},
        _command_runner(box, dispatcher),
        actuators.lease_holder,
        store.note_sent,
        clock.boottime_ns,
        jobs.post,
        permits,
    )
    pictures = IncidentPictures(
        {pipeline.name: pipeline.access() for pipeline in pipelines},
        encode_snapshot,
        publisher.publish_incident_picture,
        clock.boottime_ns,
        jobs.post,
        permits,
    )
    rates = IncidentRates({pipeline.name: pipeline.set_min_fps for pipeline in recorded})
    return IncidentStage(
        config.box,
        clock,
        box.boot,
        store,
        jobs,
        make_order_reader(uplink.authority),
        IncidentEffects(holds=holds, heads=heads, pictures=pictures, rates=rates),
        IncidentReporter(
            new_event_id=box.new_id,
            publish_event=publisher.publish_event,
            append_receipt=publisher.append_incident_receipt,
        ),
    )


def _command_runner(box: BoxContext, dispatcher: CommandDispatcher) -> RunCommand:
    """Return a function that runs a `ptz` command of a requester."""

    def run(requester: Requester, args: ptz_args.Args, on_reply: Callable[[Reply], None]) -> None:
        def take_last(reply: Reply) -> None:
            if not isinstance(reply, CommandAccepted | CommandProgress):
                on_reply(reply)

        dispatcher.submit_own(
            "ptz",
            args,
            requester,
            command_id=box.new_id(box.clock.boottime_ns()),
            via="an incident",
            send_reply=take_last,
        )

    return run

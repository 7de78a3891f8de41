"""The foundation of the features: the archive of footage, and the uplink to the centre. Opened before any feature."""

import base64

import msgspec

from agent.app.box_context import BoxContext
from agent.app.custody import open_custody, start_receipts
from agent.app.open_authority import open_authority
from agent.app.publisher import Publisher
from agent.authority.control_authority import ControlAuthority
from agent.base.state_inventory import StateInventory
from agent.clips.upload_stage import usage_file
from agent.config_change.start_config import StartConfig
from agent.recording import owner_policy
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.damage_reporter import DamageReporter
from agent.recording.custody.head_publisher import ChainHeadPublisher
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.owner_policy import OwnerPolicies
from agent.recording.retention.event_holds import EventHolds
from agent.recording.retention.hold_store import HOLDS_DIR, HoldStore
from agent.recording.retention.retention_stage import RetentionRules, RetentionStage
from agent.reporting.mqtt.session import MqttSession
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outbox.submit import MessageSubmitter
from agent.runtime.link_budget import DayUsage, LinkBudget


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """The footage of a box, its holds, the custody log about it, and the policies of owners of lent cameras."""

    public_key: str
    custody: CustodyLog
    receipts: ReceiptQueue
    holds: HoldStore
    event_holds: EventHolds
    retention: RetentionStage
    policies: OwnerPolicies
    recorded_cameras: frozenset[str]

    def end_trial(self) -> None:
        """Forget the rules of footage before a version that was on trial: it is kept."""
        self.retention.end_trial()
        self.event_holds.end_trial()


class Uplink(msgspec.Struct, frozen=True, kw_only=True):
    """The way to the centre. `authority` verifies signed messages, None if `control.ca` is not configured."""

    outbox: Outbox
    submitter: MessageSubmitter
    session: MqttSession
    publisher: Publisher
    authority: ControlAuthority | None
    budget: LinkBudget


def open_foundation(start: StartConfig, box: BoxContext) -> tuple[Archive, Uplink]:
    """Open the outbox and the custody log, and queue the receipts of what the start has mended. No thread starts.

    Raises: UserError if the state folder cannot be written or is in use by another agent, or if a
    certificate cannot be read.
    """
    config, state_dir = start.config, box.state_dir
    outbox = Outbox.open(
        state_dir / "outbox",
        box=box.id,
        boot=box.boot,
        clock=box.clock,
        max_bytes=config.outbox.max_bytes,
        new_id=box.new_id,
        faults=box.faults,
        centres=config.broker.centres,
    )
    identity, custody = open_custody(config.box, box)
    receipts = ReceiptQueue(custody.append, box.faults, custody.read_lines_backwards)
    for receipt in start_receipts(identity, start.mended):
        receipts.enqueue(receipt, box.clock.boottime_ns())
    holds = HoldStore(
        state_dir / HOLDS_DIR, box.clock, box.boot, box.new_id, StateInventory(state_dir)
    )
    recorded_cameras = frozenset(
        source.config.name
        for source in start.sources
        if source.config.record and source.scene_error is None
    )
    rules, before = config.footage_rules, start.rules_before
    event_holds = EventHolds(
        holds,
        rules.hold,
        box.clock,
        box.faults,
        None if before is None else rules.during_trial(before).hold,
    )
    submitter, session = MessageSubmitter(outbox), MqttSession(outbox, box.clock)
    # The footage of an event in a view is that of its fisheye camera.
    footage_cameras = {
        camera.name: camera.view_of or camera.name
        for camera in config.camera
        if (camera.view_of or camera.name) in recorded_cameras
    }
    publisher = Publisher(
        submitter, session, receipts, custody, event_holds, footage_cameras, box.clock, box.new_id
    )
    policies = owner_policy.update(state_dir, box.footage_dir, config.camera)
    retention = RetentionStage(
        box.footage_dir,
        RetentionRules(rules, recorded_cameras, policies, own=start.own_rules, before=before),
        box.clock,
        box.boot,
        box.faults,
        holds,
        receipts,
        publisher.publish_hold_broken,
    )
    archive = Archive(
        public_key=base64.b64encode(identity.public_key_raw).decode(),
        custody=custody,
        receipts=receipts,
        holds=holds,
        event_holds=event_holds,
        retention=retention,
        policies=policies,
        recorded_cameras=recorded_cameras,
    )
    used_today = usage_file(state_dir).load() or DayUsage()
    uplink = Uplink(
        outbox=outbox,
        submitter=submitter,
        session=session,
        publisher=publisher,
        authority=open_authority(config, box.clock),
        budget=LinkBudget(config.link.rate_kbit_s, config.link.bytes_per_day, used_today),
    )
    return archive, uplink


def make_head_publisher(
    box: BoxContext, archive: Archive, publisher: Publisher
) -> ChainHeadPublisher:
    """Return the stage that writes pending receipts and publishes the chain's head."""
    return ChainHeadPublisher(
        archive.custody,
        archive.receipts,
        box.clock,
        box.faults,
        publisher.publish_chain_head,
        lambda camera, segment: (box.footage_dir / camera / segment).exists(),
        DamageReporter(box.state_dir, archive.receipts, box.faults, box.clock),
    )

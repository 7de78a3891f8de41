"""The retention of a recorder without event holds and custody log."""

import random
from pathlib import Path

from agent.base.clock import Clock, boot_id
from agent.base.uuid7 import uuid7_factory
from agent.config.recording import FootageRules, RecordConfig
from agent.faults.registry import FaultRegistry
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.retention.hold_store import HoldStore
from agent.recording.retention.retention_stage import RetentionRules, RetentionStage


def retention_alone(
    camera: str, folder: Path, settings: RecordConfig, clock: Clock, faults: FaultRegistry
) -> RetentionStage:
    """The retention stage of one recorded camera."""
    boot, new_id = boot_id(), uuid7_factory(lambda t_ns: t_ns, random.Random())
    return RetentionStage(
        folder,
        RetentionRules(FootageRules(record=settings), cameras=[camera]),
        clock,
        boot,
        faults,
        HoldStore(folder.parent / "holds", clock, boot, new_id),
        ReceiptQueue(None, faults),
        lambda _hold: None,
    )

"""The keeping half of a box on one folder: recorder, holds, chain of custody and outbox, wired as
`agent.app.agent` wires them, with a clock that goes with the video.
"""

import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.base.clock import ClockTrust, boot_id
from agent.base.device_identity import DeviceIdentity
from agent.base.model import Segment
from agent.base.state_inventory import StateInventory
from agent.base.uuid7 import uuid7_factory
from agent.config.recording import FootageRules, HoldConfig, RecordConfig
from agent.config_change.state_folder import set_lost_aside
from agent.faults.registry import FaultRegistry
from agent.health.flight_recorder import FILE_NAME, FlightRecorder
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import Receipt, ReceiptBody
from agent.recording.encryption.key_wrapping import Sealer
from agent.recording.encryption.keys import KeyRing
from agent.recording.record_stage import RecordStage
from agent.recording.retention.event_holds import EventHolds
from agent.recording.retention.hold_store import HoldStore
from agent.recording.retention.retention_stage import RetentionRules, RetentionStage
from agent.recording.segment_writer import SegmentTarget
from agent.reporting.outbox.outbox import Outbox
from agent.runtime.queues import PacketQueue
from drivers.camera.replay import Options, open_camera
from drivers.contracts import StreamRequest
from drivers.media import Packet
from tests.crash.video import packet_time_ns

BOX = "pole-17"
CAMERA = "north"
PRIVATE_KEY = X25519PrivateKey.from_private_bytes(bytes(range(32)))
"""The recipient's key."""

RECEIPTS_PER_HEAD = 3
"""The state inventory lists the newest receipt so often; in a box once a minute."""
RING_BYTES = 2_500_000
"""Small, so that the ring turns within a run."""

HOLD_CONFIG = HoldConfig(pre_s=2, post_s=2)


class VideoClock:
    """Boot time goes with the video, one packet a tenth of a second; UTC with it."""

    def __init__(self, index: int) -> None:
        self.index = index

    def boottime_ns(self) -> int:
        return packet_time_ns(self.index)

    def utc(self, t_ns: int) -> datetime:
        return datetime(2026, 11, 25, tzinfo=UTC) + timedelta(microseconds=t_ns // 1000)

    def trust(self) -> ClockTrust:
        return ClockTrust(synced=True, source="ntp", error_s=0.01)


class RecordingBox:
    """Open everything that promises to keep something; opening runs the product's own recovery."""

    def __init__(
        self,
        folder: Path,
        index: int,
        *,
        on_segment: Callable[[Segment], None] = lambda _segment: None,
        on_receipt: Callable[[Receipt], None] = lambda _receipt: None,
        sealed: bool = True,
    ) -> None:
        self.clock = VideoClock(index)
        self.faults = FaultRegistry(self.clock.boottime_ns)
        boot = boot_id()
        new_id = uuid7_factory(lambda t_ns: t_ns, random.Random(index))
        self.outbox = Outbox.open(
            folder / "outbox",
            box=BOX,
            boot=boot,
            clock=self.clock,
            max_bytes=100_000_000,
            new_id=new_id,
            faults=self.faults,
        )
        self.identity = DeviceIdentity.load_or_create(folder / "identity")
        self.custody = CustodyLog.open(folder / "custody", BOX, boot, self.clock, self.identity)
        set_lost_aside(folder)
        inventory = StateInventory(folder)
        self.holds = HoldStore(folder / "holds", self.clock, boot, new_id, inventory)
        self.event_holds = EventHolds(self.holds, HOLD_CONFIG, self.clock, self.faults)
        self.new_id = new_id
        record = msgspec.structs.replace(
            RecordConfig(), segment_s=2.0, flush_s=0.0, reserve_bytes=0, max_bytes=RING_BYTES
        )

        def append(body: ReceiptBody, t_ns: int) -> None:
            receipt = self.custody.append(body, t_ns)
            on_receipt(receipt)
            if receipt.seq % RECEIPTS_PER_HEAD == 0:
                self.custody.list_head()

        self.retention = RetentionStage(
            folder / "footage",
            RetentionRules(FootageRules(record=record, hold=HOLD_CONFIG), [CAMERA]),
            self.clock,
            boot,
            self.faults,
            self.holds,
            ReceiptQueue(append, self.faults, self.custody.read_lines_backwards),
            lambda _hold: None,
        )
        self.queue = PacketQueue(1 << 26, lambda *_: None)
        recipients = {"centre": PRIVATE_KEY.public_key()}
        sealer = Sealer(recipients, box=BOX, camera=CAMERA, key_ring=KeyRing(10))
        self.record_stage = RecordStage(
            SegmentTarget(
                CAMERA,
                folder / "footage",
                record,
                self.retention,
                sealer=sealer if sealed else None,
            ),
            self.queue,
            self.clock,
            self.faults,
            on_gap=lambda *_: None,
            on_segment=on_segment,
        )
        self.footage = folder / "footage" / CAMERA
        self.flight_recorder_file = folder / FILE_NAME
        self.flight_recorder = FlightRecorder(folder, self.clock, boot, str(index))

    def feed(self, video: Path, indices: range) -> Iterator[int]:
        """Queue packets of a camera that plays the video, each before its index is yielded."""
        options = Options(path=str(video), pace="fast", loop=True)
        camera = open_camera("video", options, StreamRequest(packets=True, frames_fps=0), lambda: 0)
        self.record_stage.on_stream_opened(camera.info)
        for index in indices:
            packet = camera.read(1.0)
            assert isinstance(packet, Packet)
            self.clock.index = index
            self.queue.put(msgspec.structs.replace(packet, t_ns=packet_time_ns(index)))
            yield index

    def recover_footage(self) -> None:
        """A turn of the recorder without a packet: its folder is made whole."""
        stopping = threading.Event()
        stopping.set()
        self.record_stage.run_once(stopping)

    def close(self) -> None:
        """End as a stop does."""
        self.record_stage.close()
        self.retention.close()
        self.outbox.close()

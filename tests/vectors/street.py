"""A small box that has recorded the rendered street: real camera, real files, real chain."""

import base64
import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from agent.base.clock import ClockTrust, rfc3339
from agent.base.device_identity import DeviceIdentity
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import (
    AgentStarted,
    ClockStepped,
    FootageAttested,
    FootageEvicted,
    FootageGap,
    SegmentClosed,
    SegmentOpened,
    ServiceAction,
)
from agent.recording.encryption.key_wrapping import Sealer
from agent.recording.encryption.keys import KeyRing
from agent.recording.export.export_request import ExportRequest
from agent.recording.export.exporter import Exporter, ExportResult, snapshot_span
from agent.recording.mask_store import MASKS_DIR, store
from agent.recording.open_segment import OpenSegment
from agent.recording.recovery import delete_segment
from agent.recording.segment_name import SegmentName, parse_segment_name
from drivers.contracts import StreamRequest
from drivers.errors import DriverError
from drivers.media import Packet, Polygon, StreamInfo
from simulation.camera.fake import Options, open_camera

BOOT = "1f155cfd-0000-4000-8000-000000000001"
BOOT_UTC = datetime(2026, 11, 25, 1, 0, tzinfo=UTC)
SEGMENT_S = 4.0


class StreetClock:
    """Time goes with the street. `set_by` is by how much UTC was set since the boot, and `synced`
    whether it can be trusted.
    """

    def __init__(self) -> None:
        self.now_ns = 0
        self.utc_offset = timedelta()
        self.synced = True

    def boottime_ns(self) -> int:
        return self.now_ns

    def utc(self, t_ns: int) -> datetime:
        return BOOT_UTC + self.utc_offset + timedelta(microseconds=t_ns // 1000)

    def trust(self) -> ClockTrust:
        return ClockTrust(synced=self.synced, source="ntp", error_s=0.02)


class StreetBox:
    """A box with its state folder, its key and its chain."""

    def __init__(
        self, state: Path, box: str, recipients: dict[str, X25519PublicKey] | None = None
    ) -> None:
        self.state = state
        self.box = box
        self.clock = StreetClock()
        self.identity = DeviceIdentity.load_or_create(state / "identity")
        self.custody = CustodyLog.open(state / "custody", box, BOOT, self.clock, self.identity)
        self.public_key = base64.b64encode(self.identity.public_key_raw).decode()
        self.masks: tuple[Polygon, ...] = ()
        """Masks that footage is recorded without."""
        self._segment_counter = 0
        self._recipients = recipients or {}
        self.append_receipt(
            AgentStarted(public_key=self.public_key, versions={"vigie": "0.1.0"}, recipients=())
        )

    def append_receipt(self, body: object) -> None:
        self.custody.append(body, self.clock.now_ns)  # type: ignore[arg-type]

    def record(self, camera: str, seed: int, seconds: float) -> None:
        """The street for so long, in segments, each with its receipts."""
        info, packets = _record_street(seed, seconds)
        folder = self.state / "footage" / camera
        folder.mkdir(parents=True, exist_ok=True)
        base_ns = self.clock.now_ns
        segment: OpenSegment | None = None
        sealer = None
        if self._recipients:
            sealer = Sealer(self._recipients, box=self.box, camera=camera, key_ring=KeyRing(1))
        for packet in packets:
            shifted = _shift_packet(packet, base_ns)
            self.clock.now_ns = shifted.t_ns
            if segment is not None and segment.should_rotate(shifted, SEGMENT_S):
                self._close(camera, segment)
                segment = None
            if segment is None:
                segment = OpenSegment(
                    folder,
                    self.segment_name(shifted.t_ns),
                    info,
                    self.clock,
                    0.0,
                    sealer,
                )
                self.append_receipt(SegmentOpened(camera=camera, segment=str(segment.name)))
            segment.add(shifted)
        assert segment is not None
        self._close(camera, segment)

    def evict(self, camera: str, nth: int) -> None:
        """Evict the nth segment as the box does: first the receipt, then the file."""
        folder = self.state / "footage" / camera
        name = parse_segment_name(sorted(folder.glob("*.mp4"))[nth].name)
        assert name is not None
        self.append_receipt(
            FootageEvicted(camera=camera, segments=(str(name),), reason="age", oldest_time=None)
        )
        delete_segment(folder, name)

    def export(
        self,
        camera: str,
        begin_s: float,
        end_s: float,
        target: Path,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> ExportResult:
        """The footage between two moments of the box's time. What `progress` does, the box does
        while the export is made.
        """
        footage = self.state / "footage"
        begin, end = self.utc_at(begin_s), self.utc_at(end_s)
        exporter = Exporter(
            box=self.box,
            public_key=self.public_key,
            custody=self.custody,
            clock=self.clock,
            find_key=lambda _kid: None,
            masks_dir=self.state / MASKS_DIR,
        )
        page_text = ExportRequest(
            camera=camera,
            begin=begin,
            end=end,
            by="Y. Alaoui",
            purpose="collision, case 2026/118",
            out=target,
        )
        return exporter.export(
            page_text, snapshot_span(self.custody, footage, camera, begin, end), progress
        )

    def utc_at(self, seconds: float) -> datetime:
        return BOOT_UTC + timedelta(seconds=seconds)

    def append_attested(self, camera: str) -> None:
        self.append_receipt(
            FootageAttested(
                camera=camera, oldest_time=rfc3339(BOOT_UTC), segment_count=1, size_bytes=1
            )
        )

    def append_serviced(self, by: str) -> None:
        """A technician was at the console of the box."""
        self.append_receipt(ServiceAction(by=by, action="status"))

    def append_clock_step(self, by_s: float) -> None:
        """The clock was stepped, and set back at once."""
        now = self.clock.utc(self.clock.now_ns)
        self.append_receipt(
            ClockStepped(
                expected_time=rfc3339(now),
                found_time=rfc3339(now + timedelta(seconds=by_s)),
                bound_ms=41,
            )
        )

    def append_gap(self, camera: str) -> None:
        now_ns = self.clock.now_ns
        self.append_receipt(
            FootageGap(camera=camera, begin_ns=now_ns, end_ns=now_ns, reason="the disk was slow")
        )

    def segment_name(self, t_ns: int) -> SegmentName:
        self._segment_counter += 1
        return SegmentName(
            counter=self._segment_counter,
            boot=BOOT[:8],
            begin_ms=t_ns // 1_000_000,
            utc=self.clock.utc(t_ns),
            synced=self.clock.synced,
        )

    def _close(self, camera: str, segment: OpenSegment) -> None:
        closed_segment = segment.finish()
        self.append_receipt(
            SegmentClosed(
                camera=camera,
                segment=str(closed_segment.name),
                sha256=closed_segment.sha256,
                size_bytes=closed_segment.size_bytes,
                begin_ns=closed_segment.begin_ns,
                duration_ns=closed_segment.duration_ns,
                begin_time=rfc3339(closed_segment.name.utc),
                software="0.1.0",
                model="ssdlite_mobilenet_v2",
                mask=store(self.state / MASKS_DIR, self.masks) if self.masks else "balconies-3",
                config=None,
                sealed=closed_segment.encrypted,
                mask_applied="export" if self.masks else "camera",
                recovered=False,
            )
        )


@functools.cache
def _record_street(seed: int, seconds: float) -> tuple[StreamInfo, tuple[Packet, ...]]:
    """Return the stream of the street for so long; it is kept, since many cases record the same."""
    options = Options(
        width_px=320, height_px=180, fps=10, seed=seed, pace="fast", duration_s=seconds
    )
    request = StreamRequest(packets=True, frames_fps=0)
    camera = open_camera("street", options, request, lambda: 0)
    packets = []
    try:
        while True:
            packet = camera.read(1.0)
            assert isinstance(packet, Packet)
            packets.append(packet)
    except DriverError:
        return camera.info, tuple(packets)
    finally:
        camera.close()


def _shift_packet(packet: Packet, offset_ns: int) -> Packet:
    return Packet(
        t_ns=packet.t_ns + offset_ns,
        pts_ns=packet.pts_ns + offset_ns,
        dts_ns=packet.dts_ns + offset_ns,
        is_key=packet.is_key,
        data=packet.data,
    )

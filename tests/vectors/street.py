"""A small box that has recorded the rendered street: real camera, real files, real chain."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from agent.base.clock import ClockTrust
from agent.base.device_identity import DeviceIdentity
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import (
    Attested,
    Closed,
    Evicted,
    Gap,
    Opened,
    Serviced,
    Started,
)
from agent.recording.encryption.keys import KeyRing
from agent.recording.encryption.seal import Sealer
from agent.recording.export.exporter import Exporter, ExportResult, listed
from agent.recording.export.html_pages import ExportPageText
from agent.recording.mask_store import MASKS, keep
from agent.recording.open_segment import OpenSegment
from agent.recording.recovery import remove_segment
from agent.recording.segment_name import SegmentName, parse_segment_name, rfc3339
from drivers.camera.fake import FakeCamera, Options, open_camera
from drivers.contracts import Wanted
from drivers.errors import DriverError
from drivers.media import Packet, Polygon

BOOT = "1f155cfd-0000-4000-8000-000000000001"
BOOT_UTC = datetime(2026, 11, 25, 1, 0, tzinfo=UTC)
SEGMENT_S = 4.0


class StreetClock:
    """Time goes with the street. `set_by` is by how much UTC was set since the boot, and `synced`
    whether it can be trusted.
    """

    def __init__(self) -> None:
        self.now_ns = 0
        self.set_by = timedelta()
        self.synced = True

    def boottime_ns(self) -> int:
        return self.now_ns

    def utc(self, t_ns: int) -> datetime:
        return BOOT_UTC + self.set_by + timedelta(microseconds=t_ns // 1000)

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
        self.identity = DeviceIdentity.load_or_make(state / "identity")
        self.custody = CustodyLog.open(state / "custody", box, BOOT, self.clock, self.identity)
        self.public_key = base64.b64encode(self.identity.public_key_raw).decode()
        self.masks: tuple[Polygon, ...] = ()
        """Masks that footage is recorded without."""
        self._counter = 0
        self._recipients = recipients or {}
        self.say(Started(public_key=self.public_key, versions={"vigie": "0.1.0"}, recipients=()))

    def say(self, body: object) -> None:
        self.custody.append(body, self.clock.now_ns)  # type: ignore[arg-type]

    def record(self, camera: str, seed: int, seconds: float) -> None:
        """The street for so long, in segments, each with its receipts."""
        street = _street(seed, seconds)
        folder = self.state / "footage" / camera
        folder.mkdir(parents=True, exist_ok=True)
        base_ns = self.clock.now_ns
        part: OpenSegment | None = None
        sealer = None
        if self._recipients:
            sealer = Sealer(self._recipients, box=self.box, camera=camera, keys=KeyRing(1))
        for packet in _packets(street):
            moved = _later(packet, base_ns)
            self.clock.now_ns = moved.t_ns
            if part is not None and part.is_due(moved, SEGMENT_S):
                self._close(camera, part)
                part = None
            if part is None:
                part = OpenSegment(
                    folder, self._name(moved.t_ns), street.info, self.clock, 0.0, sealer
                )
                self.say(Opened(camera=camera, segment=str(part.name)))
            part.add(moved)
        assert part is not None
        self._close(camera, part)

    def evict(self, camera: str, nth: int) -> None:
        """The nth segment goes, as the box lets it: said, then done."""
        folder = self.state / "footage" / camera
        name = parse_segment_name(sorted(folder.glob("*.mp4"))[nth].name)
        assert name is not None
        self.say(Evicted(camera=camera, segments=(str(name),), why="age", oldest_time=None))
        remove_segment(folder, name)

    def export(
        self,
        camera: str,
        begin_s: float,
        end_s: float,
        out: Path,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> ExportResult:
        """The footage between two moments of the box's time. What `progress` does, the box does
        while the export is made.
        """
        footage = self.state / "footage"
        begin, end = self.at(begin_s), self.at(end_s)
        exporter = Exporter(
            box=self.box,
            public_key=self.public_key,
            custody=self.custody,
            clock=self.clock,
            key_for=lambda _kid: None,
            masks=self.state / MASKS,
        )
        wish = ExportPageText(
            camera=camera,
            begin=begin,
            end=end,
            by="Y. Alaoui",
            purpose="collision, case 2026/118",
            out=out,
        )
        return exporter.export(wish, listed(self.custody, footage, camera, begin, end), progress)

    def at(self, seconds: float) -> datetime:
        return BOOT_UTC + timedelta(seconds=seconds)

    def attest(self, camera: str) -> None:
        self.say(Attested(camera=camera, oldest_time=rfc3339(BOOT_UTC), segments=1, bytes=1))

    def service(self, by: str) -> None:
        """Somebody was at the console of the box."""
        self.say(Serviced(by=by, what="status"))

    def gap(self, camera: str) -> None:
        now_ns = self.clock.now_ns
        self.say(Gap(camera=camera, begin_ns=now_ns, end_ns=now_ns, reason="the disk was slow"))

    def _name(self, t_ns: int) -> SegmentName:
        self._counter += 1
        return SegmentName(
            counter=self._counter,
            boot=BOOT[:8],
            begin_ms=t_ns // 1_000_000,
            utc=self.clock.utc(t_ns),
            synced=self.clock.synced,
        )

    def _close(self, camera: str, part: OpenSegment) -> None:
        sealed = part.finish()
        self.say(
            Closed(
                camera=camera,
                segment=str(sealed.name),
                sha256=sealed.sha256,
                size_bytes=sealed.size_bytes,
                begin_ns=sealed.begin_ns,
                duration_ns=sealed.duration_ns,
                begin_time=rfc3339(sealed.name.utc),
                software="0.1.0",
                model="ssdlite_mobilenet_v2",
                mask=keep(self.state / MASKS, self.masks) if self.masks else "balconies-3",
                config=None,
                sealed=sealed.encrypted,
                mask_applied="export" if self.masks else "camera",
                recovered=False,
            )
        )


def _street(seed: int, seconds: float) -> FakeCamera:
    options = Options(
        width_px=320, height_px=180, fps=10, seed=seed, pace="fast", duration_s=seconds
    )
    return open_camera("street", options, Wanted(packets=True, frames_fps=0), lambda: 0)


def _packets(street: FakeCamera) -> list[Packet]:
    packets = []
    try:
        while True:
            packet = street.read(1.0)
            assert isinstance(packet, Packet)
            packets.append(packet)
    except DriverError:
        return packets
    finally:
        street.close()


def _later(packet: Packet, by_ns: int) -> Packet:
    return Packet(
        t_ns=packet.t_ns + by_ns,
        pts_ns=packet.pts_ns + by_ns,
        dts_ns=packet.dts_ns + by_ns,
        is_key=packet.is_key,
        data=packet.data,
    )

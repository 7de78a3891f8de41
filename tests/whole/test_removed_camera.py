"""A camera that was removed from the configuration: its torn file is mended with a receipt, and its footage ages."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.base.clock import boot_id
from agent.config.recording import FootageRules, RecordConfig
from agent.faults.registry import FaultRegistry
from agent.recording import mask_store
from agent.recording.camera_recovery import SegmentProvenance
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import (
    AgentStarted,
    FileQuarantined,
    FootageEvicted,
    ReceiptBody,
    SegmentClosed,
)
from agent.recording.export.export_request import ExportRequest
from agent.recording.export.exporter import Exporter, ExportError, snapshot_span
from agent.recording.export.verify import verify_export
from agent.recording.record_stage import RecordStage
from agent.recording.retention.hold_store import HoldStore
from agent.recording.retention.retention_stage import RetentionRules, RetentionStage
from agent.recording.segment_writer import SegmentTarget
from tests.whole.export_folder import public_key
from tests.whole.rig import CONFIG, fake_camera_toml
from tests.whole.test_agent_faults import ENDS, built
from tests.whole.test_custody_log import Box
from tests.whole.test_record_stage import X264, Recording, encode, packets_of

SOUTH = f"""
[[camera]]
name = "south"
{fake_camera_toml(ENDS)}
[camera.detect]
enabled = false
"""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("video") / "video.mp4", "libx264", "yuv420p", X264)


class Pole:
    """A box that recorded the camera `north`, was cut off, and is started without it."""

    def __init__(self, folder: Path, video: Path, provenance: SegmentProvenance) -> None:
        self.folder = folder
        self.video = video
        self.box = Box(folder)
        self.clock = self.box.clock
        self.provenance = provenance
        self.footage = folder / "footage" / "north"

    def start(self, cameras: list[str], max_age_h: float = 72) -> RetentionStage:
        self.custody = self.box.open(boot_id())
        self.faults = FaultRegistry(self.clock.boottime_ns)
        queue = ReceiptQueue(self.custody.append, self.faults, self.custody.read_lines_backwards)
        queue.append(
            AgentStarted(public_key=public_key(self.box.identity), versions={}, recipients=()), 0
        )
        self.record_config = RecordConfig(segment_s=2.0, flush_s=0.0, max_age_h=max_age_h)
        return RetentionStage(
            self.folder / "footage",
            RetentionRules(FootageRules(record=self.record_config), cameras),
            self.clock,
            boot_id(),
            self.faults,
            HoldStore(self.folder / "holds", self.clock, boot_id(), str),
            queue,
            lambda _hold: None,
        )

    def record_and_cut(self, packet_count: int = 35) -> None:
        """Record, and end as a power cut does: an open file stays."""
        retention = self.start(["north"])
        recording = Recording(self.folder / "footage", self.clock, retention)
        recording.stage = RecordStage(
            SegmentTarget(
                "north",
                self.folder / "footage",
                self.record_config,
                retention,
                provenance=lambda _begin_ns: self.provenance,
            ),
            recording.queue,
            self.clock,
            recording.faults,
            on_gap=lambda *_: None,
            on_segment=recording.segments.append,
        )
        info, packets = packets_of(self.video)
        recording.stage.on_stream_opened(info)
        recording.put(packets[:packet_count])

    def parts(self) -> list[str]:
        return [path.name for path in self.footage.glob("*.part")]

    def closed(self) -> list[SegmentClosed]:
        return [body for body in self.bodies() if isinstance(body, SegmentClosed)]

    def bodies(self) -> list[ReceiptBody]:
        return self.box.bodies()


@pytest.mark.parametrize("mask", [None, "the version of the masks"])
def test_a_removed_cameras_torn_file_is_mended_with_a_receipt_like_the_one_before(
    tmp_path: Path, video: Path, mask: str | None
) -> None:
    provenance = SegmentProvenance(
        software="vigie 1",
        model="m",
        mask=mask,
        config="c",
        mask_applied="none" if mask is None else "export",
    )
    pole = Pole(tmp_path, video, provenance)
    pole.record_and_cut()
    assert len(pole.parts()) == 1
    closed_before = pole.closed()
    assert closed_before
    pole.start(["south"]).enforce()
    assert pole.parts() == []
    *before, mended = pole.closed()
    assert before == closed_before
    assert mended.recovered
    assert (pole.footage / mended.segment).stat().st_size == mended.size_bytes
    assert (mended.software, mended.model, mended.mask, mended.config, mended.mask_applied) == (
        provenance.software,
        provenance.model,
        provenance.mask,
        provenance.config,
        provenance.mask_applied,
    )
    pole.start(["south"]).enforce()
    assert pole.closed() == [*before, mended], "once"


def test_an_export_of_a_file_whose_masks_are_unknown_shows_nothing(
    tmp_path: Path, video: Path
) -> None:
    """The power was cut before the camera had closed a segment in this run."""
    pole = Pole(tmp_path, video, SegmentProvenance(software="vigie", mask_applied="none"))
    pole.record_and_cut(packet_count=15)
    assert pole.closed() == []
    pole.start(["south"]).enforce()
    (mended,) = pole.closed()
    assert (mended.mask, mended.mask_applied) == (None, "export")
    with pytest.raises(ExportError, match="withheld for masks"):
        export(pole, unmasked=False)
    export(pole, unmasked=True)
    verdict = verify_export(tmp_path / "out")
    assert verdict.ok, verdict.first_problem


def export(pole: Pole, *, unmasked: bool) -> None:
    begin, end = (datetime(2026, 11, 25, 0, 0, second, tzinfo=UTC) for second in (0, 30))
    exporter = Exporter(
        box=pole.custody.box,
        public_key=public_key(pole.box.identity),
        custody=pole.custody,
        clock=pole.clock,
        find_key=lambda _kid: None,
        masks_dir=pole.folder / mask_store.MASKS_DIR,
    )
    request = ExportRequest(
        camera="north",
        begin=begin,
        end=end,
        by="A",
        purpose="B",
        out=pole.folder / "out",
        unmasked=unmasked,
    )
    footage = pole.folder / "footage"
    exporter.export(request, snapshot_span(pole.custody, footage, "north", begin, end))


def test_a_removed_cameras_footage_ages_out(tmp_path: Path, video: Path) -> None:
    pole = Pole(tmp_path, video, SegmentProvenance(software="vigie"))
    pole.record_and_cut()
    pole.start(["south"]).enforce()
    names = {body.segment for body in pole.closed()}
    pole.clock.advance_s(3600)
    pole.start(["south"], max_age_h=1).enforce()
    assert list(pole.footage.iterdir()) == []
    evicted = [body for body in pole.bodies() if isinstance(body, FootageEvicted)]
    assert {name for body in evicted for name in body.segments} == names


def test_what_is_moved_out_of_a_removed_cameras_folder_has_a_receipt(
    tmp_path: Path, video: Path
) -> None:
    pole = Pole(tmp_path, video, SegmentProvenance(software="vigie"))
    pole.record_and_cut()
    (pole.footage / "holiday.jpg").write_bytes(b"sand")
    pole.start(["south"]).enforce()
    assert FileQuarantined(camera="north", name="holiday.jpg") in pole.bodies()


def test_a_folder_that_cannot_be_read_keeps_no_other_waiting(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pole = Pole(tmp_path, video, SegmentProvenance(software="vigie"))
    pole.record_and_cut()
    bad = tmp_path / "footage" / "bad"
    bad.mkdir()
    iterdir = Path.iterdir

    def refuse(folder: Path) -> object:
        if folder == bad:
            raise OSError(5, "Input/output error")
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    retention = pole.start(["south"])
    retention.enforce()
    assert pole.parts() == []
    assert [fault.code for fault in pole.faults.active()] == ["STO-02"]
    monkeypatch.undo()
    pole.clock.advance_s(60)
    retention.enforce()
    assert pole.faults.active() == ()


@pytest.mark.parametrize("others", ["", SOUTH], ids=["the only one", "one of two"])
@pytest.mark.raises_fault("MSK-01")
def test_footage_of_a_camera_whose_masks_are_damaged_is_mended_and_ages(
    tmp_path: Path, video: Path, others: str
) -> None:
    pole = Pole(tmp_path / "state", video, SegmentProvenance(software="vigie"))
    pole.record_and_cut()
    (tmp_path / "vigie.toml").write_text(
        CONFIG.format(url="mqtt://127.0.0.1:1", camera=fake_camera_toml(ENDS)) + others
    )
    (tmp_path / "scene.toml").write_bytes(b"\xff[[mask")
    agent = built(tmp_path, on_bad_scene="close")
    agent.start()
    try:
        agent._archive.retention.enforce()
        assert pole.parts() == []
        assert "north" in agent._archive.retention._segments_by_camera
    finally:
        agent.stop()
    assert "MSK-01" in {fault.code for fault in agent.faults.active()}

"""Stages of the agent in real time in their own process: `python -m bench.paced`.

The camera, the motion gate and, with `--record`, the recorder, each in its thread as in the agent. No
detector and no reports: compared with a program that has neither.
"""

import argparse
import random
from collections.abc import Callable
from pathlib import Path

from agent.base.clock import SystemClock
from agent.capture.capture_stage import CaptureStage, MediaQueues
from agent.config.recording import RecordConfig
from agent.detection.detect_stage import DetectionSinks, DetectStage, EventLimit
from agent.detection.pipeline import DetectionPipeline
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene
from agent.faults.registry import FaultRegistry
from agent.recording.record_stage import RecordStage
from agent.recording.segment_writer import SegmentTarget
from agent.runtime.queues import LatestFrame, PacketQueue
from agent.runtime.stage import Stage, StageThread
from agent.runtime.stop_signals import StopSignals
from drivers.camera import replay
from drivers.contracts import StreamRequest
from drivers.media import StreamInfo
from tests.recording_rig import retention_alone

QUEUE_BYTES = 16_000_000


def main() -> None:
    """Run until a stop signal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("video", type=Path, help="the video that is watched")
    parser.add_argument("--fps", type=float, required=True, help="pictures looked at in a second")
    parser.add_argument("--record", nargs=2, type=Path, metavar=("VIDEO", "FOLDER"))
    args = parser.parse_args()
    with StopSignals() as signals:
        run(args, signals)


def run(args: argparse.Namespace, signals: StopSignals) -> None:
    """Start the stages, wait for a signal, stop them."""
    clock = SystemClock()
    stages: list[Stage] = []

    def add_capture(
        video: Path,
        request: StreamRequest,
        frames: LatestFrame | None,
        packets: PacketQueue | None,
        on_open: Callable[[StreamInfo], None],
    ) -> None:
        options = replay.Options(path=str(video))
        stages.append(
            CaptureStage(
                video.stem,
                lambda: replay.open_camera("bench", options, request, clock.boottime_ns),
                clock.boottime_ns,
                MediaQueues(frames=frames, packets=packets),
                on_open=on_open,
            )
        )

    frames = LatestFrame()
    add_capture(
        args.video, StreamRequest(packets=False, frames_fps=args.fps), frames, None, lambda _: None
    )
    stages.append(
        DetectStage(
            "bench",
            frames,
            DetectionPipeline(None),
            RuleEngine("bench", Scene(), str),
            EventLimit("bench"),
            DetectionSinks(
                on_event=lambda _event, _jpeg: None, on_traffic_counts=lambda _flow: None
            ),
        )
    )
    if args.record:
        video, folder = args.record
        packets = PacketQueue(QUEUE_BYTES, lambda _begin, _end: None)
        settings, faults = RecordConfig(), FaultRegistry(clock.boottime_ns)
        retention = retention_alone("bench", folder, settings, clock, faults)
        record = RecordStage(
            SegmentTarget("bench", folder, settings, retention),
            packets,
            clock,
            faults,
            on_gap=lambda *_: None,
            on_segment=lambda _segment: None,
        )
        add_capture(
            video, StreamRequest(packets=True, frames_fps=0), None, packets, record.on_stream_opened
        )
        stages.append(record)
    threads = [
        StageThread(stage, clock.boottime_ns, random.Random(1), vital=False) for stage in stages
    ]
    for thread in reversed(threads):
        thread.start()
    while not signals.wait(60.0):
        pass
    for thread in threads:
        thread.stop()
    for thread in threads:
        thread.join(5.0)


if __name__ == "__main__":
    main()

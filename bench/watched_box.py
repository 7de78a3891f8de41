"""The agent of one box, which also records the frame that each event came from.

An event's own time is before the frame that made it certain: a crossing is when the centre was on the
line. So the results are evaluated again at the end, and the frame's time is written with each event.
Run: `python -m bench.watched_box CONFIG OUT`; until SIGTERM.
"""

import random
import sys
from pathlib import Path

import msgspec

from agent.app.agent import Agent
from agent.base.clock import SystemClock
from agent.base.model import FrameResult
from agent.capture import camera_source
from agent.config_change.start_config import StartConfig
from agent.detection.rule_engine import RuleEngine
from agent.runtime.sd_notify import Notifier
from agent.runtime.stop_signals import StopSignals
from drivers.media import Frame


class EventFrame(msgspec.Struct, frozen=True):
    """An event by its identifying fields, and the time of the frame that made it certain."""

    kind: str
    name: str | None
    track: int | None
    t_ns: int
    frame_ns: int


def main() -> None:
    """Run the box until a stop signal, then write the events with their frames."""
    config_file, out = Path(sys.argv[1]), Path(sys.argv[2])
    clock = SystemClock()
    frame_results: list[FrameResult] = []

    def on_frame_result(_frame: Frame, frame_result: FrameResult) -> None:
        frame_results.append(frame_result)

    config, cameras = camera_source.load_sources(config_file, clock)
    with StopSignals() as signals:
        agent = Agent(
            StartConfig(config=config, sources=cameras),
            clock,
            random.Random(1),
            notifier=Notifier(),
        )
        for pipeline in agent.pipelines:
            pipeline.frame_listeners.append(on_frame_result)
        agent.start()
        while not signals.wait(agent.supervisor.check_interval_s):
            agent.supervisor.check()
        agent.stop()
    rule_engine = RuleEngine(config.camera[0].name, cameras[0].scene, str)
    event_frames = [
        EventFrame(event.kind, event.name, event.track, event.t_ns, frame_result.t_ns)
        for frame_result in frame_results
        for event in rule_engine.evaluate(frame_result)
    ]
    out.write_bytes(msgspec.json.encode(event_frames))


if __name__ == "__main__":
    main()

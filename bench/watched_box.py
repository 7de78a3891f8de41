"""The agent of one box, which also remembers from which frame each event came.

An event's own time lies before the frame that made it certain: a crossing is when the centre was
on the line. So what was seen is judged once more at the end, and the time of the frame told
beside each event. Run: `python -m bench.watched_box CONFIG OUT`; until SIGTERM.
"""

import random
import sys
from pathlib import Path

import msgspec

from agent.app.agent import Agent
from agent.base.clock import SystemClock
from agent.base.model import FrameResult
from agent.capture import camera_source
from agent.detection.rule_engine import RuleEngine
from agent.runtime.sd_notify import Notifier
from agent.runtime.stop_signals import StopSignals
from drivers.media import Frame


class Judged(msgspec.Struct, frozen=True):
    """An event by what tells it from others, and the time of the frame that made it certain."""

    kind: str
    name: str | None
    track: int | None
    t_ns: int
    frame_ns: int


def main() -> None:
    """Run the box; then write what came of each frame."""
    config_file, out = Path(sys.argv[1]), Path(sys.argv[2])
    clock = SystemClock()
    seen: list[FrameResult] = []

    def on_sight(_camera: str, _frame: Frame, sight: FrameResult) -> None:
        seen.append(sight)

    config, cameras = camera_source.load(config_file, clock)
    with StopSignals() as signals:
        agent = Agent(
            config, cameras, clock, random.Random(1), notifier=Notifier(), on_sight=on_sight
        )
        agent.start()
        while not signals.wait(agent.supervisor.check_every_s):
            agent.supervisor.check()
        agent.stop()
    judge = RuleEngine(config.camera[0].name, cameras[0].scene, str)
    judged = [
        Judged(event.kind, event.name, event.track, event.t_ns, sight.t_ns)
        for sight in seen
        for event in judge.evaluate(sight)
    ]
    out.write_bytes(msgspec.json.encode(judged))


if __name__ == "__main__":
    main()

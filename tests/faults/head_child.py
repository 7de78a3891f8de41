"""A process that drives a head as the agent does, until it is killed: head_child.py PORT FOLDER.

It says `moving` once the head moves, and `guard PID` before. A line `bye` on its standard input ends
it in good order.
"""

import random
import sys
import threading
from pathlib import Path

import msgspec

from agent.base.clock import SystemClock
from agent.commands.requester import Requester
from agent.config.heads import HeadConfig
from agent.failsafe.guard_stage import Duties, GuardStage, HeadDuty
from agent.failsafe.guarded import GuardedStage
from agent.faults.registry import FaultRegistry
from agent.ptz.head import PtzHead
from agent.ptz.head_stage import HeadStage
from agent.ptz.requests import ContinuousMove
from agent.runtime.stage import StageThread
from drivers import catalog
from tests.contracts.heads import VISCA

PATIENCE_S = 20.0


def main() -> None:
    options = {**VISCA, "port": sys.argv[1]}
    clock = SystemClock()
    config = HeadConfig(name="mast", driver="visca", lease_s=60, longest_move_s=60)
    module = catalog.ptz_module("visca")
    given = msgspec.convert(options, module.Options)
    faults = FaultRegistry(clock.boottime_ns)
    head = PtzHead(
        config,
        lambda: module.open_ptz("mast", given, clock.boottime_ns),
        Path(sys.argv[2]),
        clock,
        faults,
    )
    duty = HeadDuty(name="mast", driver="visca", options=options)
    guarded = GuardedStage(HeadStage(head, clock, faults))
    guard = GuardStage(Duties(heads=(duty,)), lambda: guarded.is_released)
    threads = [
        StageThread(stage, clock.boottime_ns, random.Random(1), vital=False)
        for stage in (guarded, guard)
    ]
    for thread in threads:
        thread.start()
    looking = threading.Event()
    for _ in range(int(PATIENCE_S / 0.02)):
        if head.abilities is not None and head.helm.at_rest_since_ns is not None and guard.pid:
            break
        looking.wait(0.02)
    print("guard", guard.pid, flush=True)  # noqa: T201 - to the test
    head.move(ContinuousMove(pan=0.05 if len(sys.argv) < 4 else float(sys.argv[3]), for_s=60), ANNA)
    print("moving", flush=True)  # noqa: T201 - to the test
    for line in sys.stdin:
        if line.strip() == "guard":
            print("guard", guard.pid, flush=True)  # noqa: T201 - to the test
        elif line.strip() == "bye":
            break
    for thread in threads:
        thread.stop()
        thread.join(PATIENCE_S)


ANNA = Requester(id="anna", role="operator")

if __name__ == "__main__":
    main()

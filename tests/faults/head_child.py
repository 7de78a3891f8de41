"""A process that drives a head as the agent does, until it is killed: head_child.py PORT FOLDER.

It prints `guard PID`, and `moving` once the head moves. A line `bye` on its standard input ends it in
order.
"""

import random
import sys
import threading
from pathlib import Path

import msgspec

from agent.base.clock import SystemClock
from agent.commands.requester import Requester
from agent.config.heads import HeadConfig
from agent.failsafe.guard_stage import Duties, GuardedStage, GuardStage, HeadDuty
from agent.faults.registry import FaultRegistry
from agent.ptz.connection import HeadConnection
from agent.ptz.head import PtzHead
from agent.ptz.head_stage import HeadStage
from agent.ptz.requests import ContinuousMove
from agent.runtime.stage import StageThread
from drivers import catalog
from tests.contracts.heads import VISCA_OPTIONS

TIMEOUT_S = 60.0


def main() -> None:
    options = {**VISCA_OPTIONS, "port": sys.argv[1]}
    clock = SystemClock()
    config = HeadConfig(name="mast", driver="visca", lease_s=60, max_move_s=60)
    module = catalog.load_ptz_driver("visca")
    driver_options = msgspec.convert(options, module.Options)
    faults = FaultRegistry(clock.boottime_ns)
    head = PtzHead(
        config,
        HeadConnection(
            "mast", lambda: module.open_ptz("mast", driver_options, clock.boottime_ns), faults
        ),
        Path(sys.argv[2]),
        clock,
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
    never_set = threading.Event()
    for _ in range(int(TIMEOUT_S / 0.02)):
        if (
            head.capabilities is not None
            and head.controller.at_rest_since_ns is not None
            and guard.pid
        ):
            break
        never_set.wait(0.02)
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
        thread.join(TIMEOUT_S)


ANNA = Requester(id="anna", role="operator")

if __name__ == "__main__":
    main()

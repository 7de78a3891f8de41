"""Starts of an agent whose state is closed to it, as a user without rights: `closed_state_child.py FOLDER CLOSED...`.

Each of CLOSED is a path in the state folder, whose mode is made 000 before a start; one that begins with `root:` is of
another user already. Prints a line in JSON for each start.
"""

import json
import os
import random
import sys
from pathlib import Path

from agent.app.agent import Agent
from agent.base.clock import SystemClock, boot_id
from agent.config_change.start_config import load_start_config
from agent.recording.custody.chain_files import read_lines_backwards
from agent.recording.custody.receipts import ServiceAction, parse_line
from agent.runtime.sd_notify import Notifier

CLOCK = SystemClock()
NOBODY = 65534


def run_once(folder: Path) -> dict[str, object]:
    """Start, record, and stop; return the faults, the receipts of actions, and the number of segments."""
    start = load_start_config(folder / "vigie.toml", CLOCK, boot_id())
    agent = Agent(
        start,
        CLOCK,
        random.Random(1),
        notifier=Notifier(),
        machine_root=folder,
        config_path=folder / "vigie.toml",
    )
    agent.start()
    agent.wait_until_ended(60)
    agent.stop()
    state = folder / "state"
    lines = map(parse_line, read_lines_backwards(state / "custody"))
    actions = [
        line.receipt.body.action for line in lines if isinstance(line.receipt.body, ServiceAction)
    ]
    return {
        "faults": [(fault.code, fault.subject) for fault in agent.faults.active()],
        "actions": actions,
        "segments": len(list((state / "footage" / "north").glob("*.mp4"))),
    }


def main(folder: Path, closed: list[str]) -> None:
    """Start once for each closed path, and once before."""
    print(json.dumps(run_once(folder)))  # noqa: T201 - for the test
    for name in closed:
        (folder / "state" / name).chmod(0)
        print(json.dumps({"closed": name, **run_once(folder)}))  # noqa: T201 - as above


if __name__ == "__main__":
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    main(Path(sys.argv[1]), sys.argv[2:])

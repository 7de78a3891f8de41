"""agent.runtime.stop_signals: SIGTERM and SIGINT end a wait in any thread."""

import signal
import subprocess
import sys

from agent.runtime.stop_signals import STOP_SIGNALS, StopSignals

PROGRAM = """
import os, signal, sys, threading
# A thread from before, as libraries start them when they are imported.
threading.Thread(target=threading.Event().wait, daemon=True).start()
from agent.runtime.stop_signals import StopSignals
with StopSignals() as signals:
    assert not signals.wait(0)
    print("ready", flush=True)
    # Busy, so that the main thread is not the one that waits for the signal.
    sys.stdin.readline()
    assert signals.wait(60)
print("told", flush=True)
"""


def test_a_stop_signal_is_reported_and_kills_no_process() -> None:
    for number in STOP_SIGNALS:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, _ = process.communicate("go on\n", timeout=60)
        assert (out, process.returncode) == ("told\n", 0)


def test_the_previous_signal_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with StopSignals():
        pass
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before

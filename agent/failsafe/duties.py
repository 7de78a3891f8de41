"""What the guard does once the agent has died: see `agent.failsafe.process`."""

import logging
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import msgspec

from agent.failsafe.guard_stage import Duties, HeadDuty, PinsDuty
from drivers import catalog
from drivers.contracts import Line
from drivers.errors import DriverError

log = logging.getLogger(__name__)

STOPS = 3
"""So often a head is told to stop: nobody hears whether one of them was lost."""
BETWEEN_STOPS_S = 0.2
AGAIN_S = 0.5
"""A port may be busy for a moment, and an adapter may be coming back."""


def fulfil(told: bytes, longest_s: float) -> bool:
    """Do what the agent has asked for, all of it at once; whether all was done within `longest_s`
    seconds.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    log.error("guard: the agent is gone without a goodbye")
    try:
        duties = msgspec.json.decode(told, type=Duties)
    except msgspec.MsgspecError as error:
        log.error("guard: not understood what to do: %s", error)
        return False
    works: list[Callable[[], None]] = [partial(_stop, duty) for duty in duties.heads]
    if duties.pins is not None:
        works += [partial(_set_inactive, duties.pins, line) for line in duties.pins.lines]
    over = threading.Event()
    threads = [
        threading.Thread(target=_until_done, args=(work, over), daemon=True) for work in works
    ]
    for thread in threads:
        thread.start()
    end_ns = _now_ns() + int(longest_s * 1e9)
    for thread in threads:
        thread.join(max(0.0, (end_ns - _now_ns()) / 1e9))
    over.set()
    return not any(thread.is_alive() for thread in threads)


def _until_done(work: Callable[[], None], over: threading.Event) -> None:
    """Try again until it is done or time is over; the same reason is told once."""
    told = None
    while not over.is_set():
        try:
            work()
        except msgspec.ValidationError as error:
            log.error("guard: options: %s", error)
            return
        except DriverError as error:
            if str(error) != told:
                told = str(error)
                log.warning("guard: %s", error)
            if error.kind == "unsupported":
                return
            over.wait(AGAIN_S)
        else:
            return


def _stop(duty: HeadDuty) -> None:
    module = catalog.ptz_module(duty.driver)
    options = msgspec.convert(duty.options, module.Options)
    head = module.open_ptz(duty.name, options, _now_ns)
    pause = threading.Event()
    try:
        for _ in range(STOPS):
            head.stop()
            pause.wait(BETWEEN_STOPS_S)
    finally:
        head.close()
    log.info("guard: head %s: stopped", duty.name)


def _set_inactive(duty: PinsDuty, line: Line) -> None:
    module = catalog.gpio_module(duty.driver)
    options = msgspec.convert(duty.options, module.Options)
    pins = module.open_gpio(options, (line,), _now_ns)
    try:
        pins.drive(line.name, active=False)
    finally:
        pins.close()
    log.info("guard: pin %s: inactive", line.name)


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

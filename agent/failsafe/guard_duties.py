"""The duties of the guard, executed once the agent has died: see `agent.failsafe.guard_process`."""

import logging
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import msgspec

from agent.base.json_decode import MalformedJson, decode_json
from agent.failsafe.guard_stage import Duties, HeadDuty, PinsDuty
from drivers import catalog
from drivers.contracts import GpioLine
from drivers.errors import DriverError

log = logging.getLogger(__name__)

STOP_REPEATS = 3
"""A head may miss a stop without a sign of it."""
STOP_INTERVAL_S = 0.2
RETRY_S = 0.5
"""A port may be busy for a moment, and an unplugged adapter may come back."""


def execute_duties(payload: bytes, timeout_s: float) -> bool:
    """Execute all duties at once; return whether all were done within `timeout_s`."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    log.error("guard: the agent has died, or hangs")
    try:
        duties = decode_json(payload, Duties)
    except MalformedJson as error:
        log.error("guard: the duties cannot be decoded: %s", error)
        return False
    tasks: list[Callable[[], None]] = [partial(_stop_head, duty) for duty in duties.heads]
    if duties.pins is not None:
        tasks += [partial(_set_output_inactive, duties.pins, line) for line in duties.pins.lines]
    timed_out = threading.Event()
    done: list[bool] = []
    threads = [
        threading.Thread(target=_retry_until_done, args=(task, timed_out, done), daemon=True)
        for task in tasks
    ]
    for thread in threads:
        thread.start()
    deadline_ns = _now_ns() + int(timeout_s * 1e9)
    for thread in threads:
        thread.join(max(0.0, (deadline_ns - _now_ns()) / 1e9))
    timed_out.set()
    return len(done) == len(tasks)


def _retry_until_done(
    task: Callable[[], None], timed_out: threading.Event, done: list[bool]
) -> None:
    """Retry a task until it is done or cannot be; log each reason once."""
    last_message = None
    while not timed_out.is_set():
        try:
            task()
        except msgspec.ValidationError as error:
            log.error("guard: options: %s", error)
            return
        except DriverError as error:
            if str(error) != last_message:
                last_message = str(error)
                log.warning("guard: %s", error)
            if error.kind == "unsupported":
                return
            timed_out.wait(RETRY_S)
        else:
            done.append(True)
            return


def _stop_head(duty: HeadDuty) -> None:
    module = catalog.load_ptz_driver(duty.driver)
    options = msgspec.convert(duty.options, module.Options)
    head = module.open_ptz(duty.name, options, _now_ns)
    pause = threading.Event()
    try:
        for _ in range(STOP_REPEATS):
            head.stop()
            pause.wait(STOP_INTERVAL_S)
    finally:
        head.close()
    log.info("guard: head %s: stopped", duty.name)


def _set_output_inactive(duty: PinsDuty, line: GpioLine) -> None:
    module = catalog.load_gpio_driver(duty.driver)
    options = msgspec.convert(duty.options, module.Options)
    pins = module.open_gpio(options, (line,), _now_ns)
    try:
        pins.set_output(line.name, active=False)
    finally:
        pins.close()
    log.info("guard: pin %s: inactive", line.name)


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

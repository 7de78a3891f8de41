"""Checks of the box's wired network ports: speed, duplex, and errors that a bad cable or connector causes."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.base.health_model import PortHealth
from agent.base.message import Message, Text, join_phrases
from agent.console.check_result import CheckResult, failed, not_applicable, passed
from agent.health.vitals.network_link import read_ports
from agent.health.vitals.procfs import ProcFs

WATCH_S = 3.0
"""Between two readings of the CRC errors, if there has been one since the boot."""
SLOW_MBIT_S = 10
"""A port of 100 or 1000 Mbit/s falls back to it if a pair of the cable is bad."""
_CABLE_ADVICE = Message(
    "Push both plugs in until they click, and look for water and corrosion. Then try another cable, and another port of "
    "the switch."
)
_DUPLEX_ADVICE = Message(
    "Have the port of the switch set to automatic. If it is: try another cable."
)


def check_ports(root: Path, pause: Callable[[float], None] = time.sleep) -> Iterator[CheckResult]:
    """Check each wired port with a carrier. CRC errors are read again after `pause`: only rising ones count."""
    procfs = ProcFs(root)
    ports = read_ports(procfs)
    if any(port.rx_crc_errors for port in ports):
        crc_errors = {port.name: port.rx_crc_errors for port in ports}
        pause(WATCH_S)
        ports = read_ports(procfs)
    else:
        crc_errors = {}
    for port in ports:
        yield _judge(port, (port.rx_crc_errors or 0) - (crc_errors.get(port.name) or 0))


def _judge(port: PortHealth, new_crc_errors: int) -> CheckResult:
    subject = Message("port {name}", name=port.name)
    readings = _format(port)
    if new_crc_errors > 0:
        rising = Message(
            "{count} CRC errors in {seconds:.0f} s", count=new_crc_errors, seconds=WATCH_S
        )
        return failed(subject, join_phrases(rising, readings), advice=_CABLE_ADVICE)
    if port.speed_mbit_s is not None and port.speed_mbit_s <= SLOW_MBIT_S:
        return failed(subject, readings, advice=_CABLE_ADVICE)
    if port.duplex == "half":
        return failed(subject, readings, advice=_DUPLEX_ADVICE)
    if port.speed_mbit_s is None:
        return not_applicable(subject, readings)
    return passed(subject, readings)


def _format(port: PortHealth) -> Text:
    duplex_words = {"full": Message("full duplex"), "half": Message("half duplex"), None: None}
    counters = (
        (port.carrier_changes, Message("link changes")),
        (port.rx_errors, Message("receive errors")),
        (port.tx_errors, Message("send errors")),
        (port.rx_crc_errors, Message("CRC errors")),
        (port.dropped, Message("dropped")),
    )
    return join_phrases(
        Message("no speed reported")
        if port.speed_mbit_s is None
        else Message("{speed} Mbit/s", speed=port.speed_mbit_s),
        duplex_words[port.duplex],
        *(
            Message("{counter}: {count}", counter=words, count=count)
            for count, words in counters
            if count is not None
        ),
    )

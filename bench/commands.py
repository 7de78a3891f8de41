"""Latency of a command from an operator, over a real broker, to the first byte on a head's line.

The box is the whole agent in its own process; the line is a pseudo-terminal whose far end is a simulated
head, which records when bytes arrive. A move and a stop take turns.
"""

import random
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.base.clock import rfc3339
from agent.reporting import topics
from agent.reporting.payloads import ReplyMessage
from bench import box
from bench.commanded_box import CommandArrival
from bench.processes import running_process
from bench.table import Row
from drivers.pelco_codec import STOP_MOTION, PelcoDecoder, PelcoMotion
from simulation.heads.head_simulator import HeadMechanics, HeadSimulator
from simulation.heads.pelco_device import PelcoDevice
from simulation.heads.pty_serial_line import LineNoise, PtySerialLine

HEAD = "mast"
PAIRS = 100
"""The number of pairs of a move and its stop."""
PAUSE_RANGE_S = (0.08, 0.3)
"""The wait between a reply and the next command."""
START_TIMEOUT_S, ANSWER_TIMEOUT_S = 30.0, 5.0

MECHANICS = HeadMechanics()
OPTIONS = f"""\
pan_deg = {{ low = -170, high = 170 }}
tilt_deg = {{ low = -30, high = 90 }}
pan_max_deg_s = {MECHANICS.pan_max_deg_s}
tilt_max_deg_s = {MECHANICS.tilt_max_deg_s}
"""
QUERY_BAUD = 9600
QUERY_OPTIONS = f'{OPTIONS}position = "query"\nbaud = {QUERY_BAUD}\n'
ANSWER_DELAY = LineNoise(delay_s=14 * 10 / QUERY_BAUD)
"""The line time of a position query and its answer, 7 bytes each."""

Action = Literal["move", "stop"]


class CommandTiming(msgspec.Struct, frozen=True, kw_only=True):
    """A command: when it was published, when the box received it, and its first byte on the line."""

    action: Action
    published_ns: int
    arrived_ns: int
    wire_ns: int

    @property
    def total_ms(self) -> float:
        """The latency from the operator."""
        return (self.wire_ns - self.published_ns) / 1e6

    @property
    def box_ms(self) -> float:
        """The latency from the box."""
        return (self.wire_ns - self.arrived_ns) / 1e6


class RecordingDevice:
    """A Pelco-D head that records when an order to move or to stop arrives."""

    has_pending_output = False

    def __init__(self) -> None:
        self.orders: list[tuple[Action, int]] = []
        self._device = PelcoDevice(HeadSimulator(MECHANICS, time.monotonic_ns()), "D")
        self._decoder = PelcoDecoder("D")

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        """Record an order. `t_ns` is when its bytes were read; the driver writes a frame at once."""
        for addressed in self._decoder.feed(data):
            if isinstance(addressed.message, PelcoMotion):
                self.orders.append(("stop" if addressed.message == STOP_MOTION else "move", t_ns))
        return self._device.exchange(data, t_ns)

    def first_order_ns(self, action: Action, since_ns: int) -> int:
        """Return the first such order since then. Raises: RuntimeError if there is none."""
        for order, at_ns in self.orders:
            if order == action and at_ns >= since_ns:
                return at_ns
        raise RuntimeError(f"no {action} came over the line")


class BenchOperator:
    """Sends a command and waits for its final reply, in one thread."""

    def __init__(self, broker: str) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_connect = lambda it, *_: it.subscribe(
            topics.up_topic(box.BOX, "reply/#"), 1
        )
        self._client.on_subscribe = lambda *_: self._set_state("subscribed", "done")
        self._client.on_message = lambda _client, _data, message: self._on_reply(
            bytes(message.payload)
        )
        self._states: dict[str, str] = {}
        self._number = 0
        self._client.connect("127.0.0.1", urlsplit(broker).port or 1883)
        self._wait("subscribed", ANSWER_TIMEOUT_S)

    def command(
        self, args: Mapping[str, Any], timeout_s: float = ANSWER_TIMEOUT_S
    ) -> tuple[str, int] | None:
        """Return the command's id and publication time, or None if no reply came.

        Raises: RuntimeError if it was refused.
        """
        self._number += 1
        command_id = f"c-{self._number}"
        expires = rfc3339(datetime.now(UTC) + timedelta(seconds=60))
        fields = {
            "id": command_id,
            "expires": expires,
            "by": "bench",
            "role": "operator",
            "args": args,
        }
        payload = msgspec.json.encode(fields)
        published_ns = time.monotonic_ns()
        self._client.publish(topics.down_topic(box.BOX, "command/ptz"), payload, 1)
        state = self._wait(command_id, timeout_s)
        if state not in ("done", None):
            raise RuntimeError(f"{args}: {state}")
        return None if state is None else (command_id, published_ns)

    def wait_for_head(self) -> bool:
        """Return True if the box answers in time and its head is open."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            try:
                if self.command({"do": "stop", "head": HEAD}, 0.5):
                    return True
            except RuntimeError:
                self.idle(0.2)  # it is not open yet
        return False

    def idle(self, seconds: float) -> None:
        """Serve MQTT without sending a command."""
        self._wait("nothing", seconds)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()

    def _wait(self, command_id: str, timeout_s: float) -> str | None:
        deadline_s = time.monotonic() + timeout_s
        while command_id not in self._states:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return None
            self._client.loop(left_s)
        return self._states.pop(command_id)

    def _on_reply(self, payload: bytes) -> None:
        reply = msgspec.json.decode(payload, type=ReplyMessage).data
        state = reply.__struct_config__.tag
        if state in ("done", "refused"):
            reason = getattr(reply, "why", "")
            self._set_state(str(reply.command), f"{state}: {reason}" if reason else "done")

    def _set_state(self, command_id: str, state: str) -> None:
        self._states[command_id] = state


class CommandTrial(msgspec.Struct, frozen=True, kw_only=True):
    """One trial: the box and its head's line."""

    name: str
    camera: box.CameraSetup
    options: str = OPTIONS
    answer_noise: LineNoise = LineNoise()


def run_trial(trial: CommandTrial, folder: Path, broker: str) -> list[CommandTiming]:
    """Run all commands of one trial."""
    rng = random.Random(4)
    with _open_line(folder / f"{trial.name}-line", trial.answer_noise) as (device, port):
        config = box.write_config(folder / trial.name, trial.camera, broker)
        with config.open("a", encoding="utf-8") as file:
            file.write(f'[[head]]\nname = "{HEAD}"\ndriver = "pelco_d"\n[head.options]\n')
            file.write(f'port = "{port}"\n{trial.options}')
        out = folder / f"{trial.name}.json"
        with running_process((sys.executable, "-m", "bench.commanded_box", config, out)):
            operator = BenchOperator(broker)
            is_ready = operator.wait_for_head()
            sent_commands = _send_commands(operator, rng) if is_ready else []
            operator.close()
        if not is_ready:
            raise RuntimeError(f"the box did not answer within {START_TIMEOUT_S:g} s")
    arrived_by_id = {
        one.id: one.arrived_ns
        for one in msgspec.json.decode(out.read_bytes(), type=list[CommandArrival])
    }
    return [
        CommandTiming(
            action=do,
            published_ns=published_ns,
            arrived_ns=arrived_by_id[command_id],
            wire_ns=device.first_order_ns(do, published_ns),
        )
        for do, command_id, published_ns in sent_commands
    ]


def _send_commands(operator: BenchOperator, rng: random.Random) -> list[tuple[Action, str, int]]:
    """Send the commands in turn. Return each action, its command id and its publication time."""
    sent_commands: list[tuple[Action, str, int]] = []
    operator.idle(2.0)
    for pair in range(PAIRS):
        pan = 0.3 if pair % 2 else -0.3
        orders: dict[Action, dict[str, Any]] = {"move": {"pan": pan, "for_s": 2}, "stop": {}}
        for action, args in orders.items():
            sent = operator.command({"do": action, "head": HEAD, **args})
            if sent is None:
                raise RuntimeError(f"{action}: no reply within {ANSWER_TIMEOUT_S:g} s")
            sent_commands.append((action, *sent))
            operator.idle(rng.uniform(*PAUSE_RANGE_S))
    return sent_commands


@contextmanager
def _open_line(port: Path, answer_noise: LineNoise) -> Iterator[tuple[RecordingDevice, Path]]:
    device = RecordingDevice()
    line = PtySerialLine(port, [device], time.monotonic_ns)
    line.set_noise(to_host=answer_noise)
    try:
        yield device, port
    finally:
        line.close()


def rows(
    quiet: Sequence[CommandTiming], busy: Sequence[CommandTiming], queried: Sequence[CommandTiming]
) -> list[Row]:
    """Return the rows of the three trials."""
    return [
        _row("command to first byte, inside the box", quiet, "< 5", "box"),
        _row("command to first byte, from its publication on", quiet, "-", "all"),
        _row("same, while the box detects in 1080p", busy, "-", "all"),
        _row("same, a head that is queried for its position", queried, "-", "all"),
    ]


def _row(
    name: str, timings: Sequence[CommandTiming], target: str, start_point: Literal["box", "all"]
) -> Row:
    def ms(start_point: Literal["box", "all"], action: Action | None = None) -> list[float]:
        return [
            one.box_ms if start_point == "box" else one.total_ms
            for one in timings
            if action in (None, one.action)
        ]

    note = {
        "command to first byte, inside the box": "from the session's hands to the pty",
        "command to first byte, from its publication on": "mosquitto, all on this machine",
        "same, while the box detects in 1080p": "15 frames a second, 10 of them looked at",
        "same, a head that is queried for its position": "before a move it is queried, pan and tilt: "
        f"{1000 * ANSWER_DELAY.delay_s:.0f} ms of a line of {QUERY_BAUD} baud each, and the turnaround",
    }[name]
    by_action = ", ".join(
        f"a {do} {_percentile(ms(start_point, do), 95):.1f}" for do in ("move", "stop")
    )
    box_note = "" if start_point == "box" else f"; inside the box {_percentile(ms('box'), 95):.1f}"
    return Row(
        name=f"{name}, p95",
        value=_percentile(ms(start_point), 95),
        unit="ms",
        target=target,
        note=f"p50 {_percentile(ms(start_point), 50):.1f}; {by_action}{box_note}; {len(timings)} commands; {note}",
    )


def _percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]

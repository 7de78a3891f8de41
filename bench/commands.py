"""How long a command takes from an operator, over a real broker, to the first byte on a head's line.

The box is the whole agent in a process of its own; the line is a pseudo-terminal whose far end is
a simulated head, which notes when bytes come. A move and a stop take turns.
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

from agent.reporting import topics
from agent.reporting.payloads import ReplyMessage
from bench import box
from bench.commanded_box import Came
from bench.processes import running
from bench.table import Row
from drivers.pelco import STOP, Motion, PelcoDecoder
from drivers.simulated.motion import HeadMotion, Mechanics
from drivers.simulated.pelco_device import PelcoSide
from drivers.simulated.pty_head import LineNoise, PtyHead

HEAD = "mast"
PAIRS = 100
"""A move and its stop, so often."""
PAUSE_S = (0.08, 0.3)
"""Between a reply and the next command."""
START_S, ANSWER_S = 30.0, 5.0

MECHANICS = Mechanics()
OPTIONS = f"""\
pan_deg = {{ low = -170, high = 170 }}
tilt_deg = {{ low = -30, high = 90 }}
pan_max_deg_s = {MECHANICS.pan_max_deg_s}
tilt_max_deg_s = {MECHANICS.tilt_max_deg_s}
"""
ASKED_BAUD = 9600
ASKED = f'{OPTIONS}position = "query"\nbaud = {ASKED_BAUD}\n'
ANSWER = LineNoise(delay_s=14 * 10 / ASKED_BAUD)
"""What a question and its answer take of the line, 7 bytes each."""

Do = Literal["move", "stop"]


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A command: when it was published, when the box had it, and its first byte on the line."""

    do: Do
    published_ns: int
    came_ns: int
    wire_ns: int

    @property
    def all_ms(self) -> float:
        """From the operator on."""
        return (self.wire_ns - self.published_ns) / 1e6

    @property
    def box_ms(self) -> float:
        """From the box on."""
        return (self.wire_ns - self.came_ns) / 1e6


class NotingSide:
    """A Pelco-D head that notes when an order to move or to stop came. It is a Side."""

    owes = False

    def __init__(self) -> None:
        self.heard: list[tuple[Do, int]] = []
        self._head = PelcoSide(HeadMotion(MECHANICS, time.monotonic_ns()), "D")
        self._decoder = PelcoDecoder("D")

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        """`t_ns` is when the bytes had been read; the driver writes a frame at once."""
        for telegram in self._decoder.feed(data):
            if isinstance(telegram.message, Motion):
                self.heard.append(("stop" if telegram.message == STOP else "move", t_ns))
        return self._head.exchange(data, t_ns)

    def first_ns(self, do: Do, since_ns: int) -> int:
        """The first such order since then. Raises RuntimeError where there is none."""
        for heard, at_ns in self.heard:
            if heard == do and at_ns >= since_ns:
                return at_ns
        raise RuntimeError(f"no {do} came over the line")


class Operator:
    """Gives a command and waits for its last reply; one thread does it all."""

    def __init__(self, broker: str) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_connect = lambda it, *_: it.subscribe(topics.up(box.BOX, "reply/#"), 1)
        self._client.on_subscribe = lambda *_: self._note("subscribed", "done")
        self._client.on_message = lambda _client, _data, message: self._hear(bytes(message.payload))
        self._states: dict[str, str] = {}
        self._number = 0
        self._client.connect("127.0.0.1", urlsplit(broker).port or 1883)
        self._wait("subscribed", ANSWER_S)

    def command(self, args: Mapping[str, Any], wait_s: float = ANSWER_S) -> tuple[str, int] | None:
        """The command's id and when it was published, None where nobody answered.

        Raises RuntimeError where it was refused.
        """
        self._number += 1
        ident = f"c-{self._number}"
        expires = topics.rfc3339(datetime.now(UTC) + timedelta(seconds=60))
        words = {"id": ident, "expires": expires, "by": "bench", "role": "operator", "args": args}
        payload = msgspec.json.encode(words)
        published_ns = time.monotonic_ns()
        self._client.publish(topics.down(box.BOX, "command/ptz"), payload, 1)
        state = self._wait(ident, wait_s)
        if state not in ("done", None):
            raise RuntimeError(f"{args}: {state}")
        return None if state is None else (ident, published_ns)

    def await_head(self) -> bool:
        """Whether the box answers in time, and its head is open."""
        until_s = time.monotonic() + START_S
        while time.monotonic() < until_s:
            try:
                if self.command({"do": "stop", "head": HEAD}, 0.5):
                    return True
            except RuntimeError:
                self.rest(0.2)  # it is not open yet
        return False

    def rest(self, seconds: float) -> None:
        """Say and hear nothing but what MQTT wants."""
        self._wait("nothing", seconds)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()

    def _wait(self, ident: str, seconds: float) -> str | None:
        until_s = time.monotonic() + seconds
        while ident not in self._states:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return None
            self._client.loop(left_s)
        return self._states.pop(ident)

    def _hear(self, payload: bytes) -> None:
        reply = msgspec.json.decode(payload, type=ReplyMessage).data
        state = reply.__struct_config__.tag
        if state in ("done", "refused"):
            why = getattr(reply, "why", "")
            self._note(str(reply.command), f"{state}: {why}" if why else "done")

    def _note(self, ident: str, state: str) -> None:
        self._states[ident] = state


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A box and its head's line, by what tells them from others."""

    name: str
    camera: box.Camera
    options: str = OPTIONS
    answer: LineNoise = LineNoise()


def tried(trial: Trial, folder: Path, broker: str) -> list[Sent]:
    """All commands of one trial."""
    chance = random.Random(4)
    with _line(folder / f"{trial.name}-line", trial.answer) as (side, port):
        config = box.configured(folder / trial.name, trial.camera, broker)
        with config.open("a", encoding="utf-8") as file:
            file.write(f'[[head]]\nname = "{HEAD}"\ndriver = "pelco_d"\n[head.options]\n')
            file.write(f'port = "{port}"\n{trial.options}')
        out = folder / f"{trial.name}.json"
        with running((sys.executable, "-m", "bench.commanded_box", config, out)):
            operator = Operator(broker)
            there = operator.await_head()
            given = _given(operator, chance) if there else []
            operator.close()
        if not there:
            raise RuntimeError(f"the box did not answer within {START_S:g} s")
    came = {one.id: one.at_ns for one in msgspec.json.decode(out.read_bytes(), type=list[Came])}
    return [
        Sent(
            do=do,
            published_ns=published_ns,
            came_ns=came[ident],
            wire_ns=side.first_ns(do, published_ns),
        )
        for do, ident, published_ns in given
    ]


def _given(operator: Operator, chance: random.Random) -> list[tuple[Do, str, int]]:
    """What was commanded, its id, and when it was published."""
    given: list[tuple[Do, str, int]] = []
    operator.rest(2.0)
    for pair in range(PAIRS):
        pan = 0.3 if pair % 2 else -0.3
        orders: dict[Do, dict[str, Any]] = {"move": {"pan": pan, "for_s": 2}, "stop": {}}
        for do, args in orders.items():
            told = operator.command({"do": do, "head": HEAD, **args})
            if told is None:
                raise RuntimeError(f"{do}: nobody answered within {ANSWER_S:g} s")
            given.append((do, *told))
            operator.rest(chance.uniform(*PAUSE_S))
    return given


@contextmanager
def _line(port: Path, answer: LineNoise) -> Iterator[tuple[NotingSide, Path]]:
    side = NotingSide()
    line = PtyHead(port, [side], time.monotonic_ns)
    line.disturb(to_host=answer)
    try:
        yield side, port
    finally:
        line.close()


def rows(quiet: Sequence[Sent], busy: Sequence[Sent], asked: Sequence[Sent]) -> list[Row]:
    """The rows of the three trials."""
    return [
        _row("command to first byte, inside the box", quiet, "< 5", "box"),
        _row("command to first byte, from its publication on", quiet, "-", "all"),
        _row("same, while the box detects in 1080p", busy, "-", "all"),
        _row("same, a head that is asked where it is", asked, "-", "all"),
    ]


def _row(name: str, sent: Sequence[Sent], target: str, of: Literal["box", "all"]) -> Row:
    def ms(of: Literal["box", "all"], do: Do | None = None) -> list[float]:
        return [one.box_ms if of == "box" else one.all_ms for one in sent if do in (None, one.do)]

    note = {
        "command to first byte, inside the box": "from the session's hands to the pty",
        "command to first byte, from its publication on": "mosquitto, all on this machine",
        "same, while the box detects in 1080p": "15 frames a second, 10 of them looked at",
        "same, a head that is asked where it is": "before a move it is asked, pan and tilt: "
        f"{1000 * ANSWER.delay_s:.0f} ms of a line of {ASKED_BAUD} baud each, and the turnaround",
    }[name]
    each = ", ".join(f"a {do} {_p(ms(of, do), 95):.1f}" for do in ("move", "stop"))
    inside = "" if of == "box" else f"; inside the box {_p(ms('box'), 95):.1f}"
    return Row(
        name=f"{name}, p95",
        value=_p(ms(of), 95),
        unit="ms",
        target=target,
        note=f"p50 {_p(ms(of), 50):.1f}; {each}{inside}; {len(sent)} commands; {note}",
    )


def _p(values: Sequence[float], percent: int) -> float:
    """A percentile."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]

"""The centres as one connection sees them: their states, the acknowledgement mode, and the fault NET-03."""

from collections.abc import Callable, Collection, Mapping
from functools import reduce
from typing import Literal

from agent.base.message import Message, join_sentences
from agent.config.broker import MAX_CENTRES, BrokerConfig
from agent.faults.registry import FaultRegistry
from agent.reporting.centre_payloads import CentreStateName
from agent.reporting.mqtt.centre_messages import CentreMessages
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.reporting.mqtt.send_window import SendWindow
from agent.reporting.outbox.outbox import Outbox

CENTRE_ACK_TIMEOUT_S = 30.0
"""Without an acknowledgement for this long, a message was sent three times: NET-03."""

_ANY = ""
"""Without names in the configuration all centres are waited for as one."""

CENTRE_STATE_WAIT_S = 2.0
"""Retained messages follow the SUBACK at once; this is for a slow link."""

AckMode = Literal["undecided", "broker", "centre", "hold"]
"""undecided: a centre may still announce itself; send, and free nothing.
broker: a PUBACK with success frees a message.
centre: the acknowledgement of a centre, or of each named one, frees it.
hold: all centres are away; send nothing that they would miss.
"""


def choose_ack_mode(
    ack_setting: Literal["auto", "broker"],
    states: Collection[CentreStateName],
    *,
    centre_known: bool,
    are_acks_signed: bool,
    subscribed_for_s: float,
) -> AckMode:
    """Choose by the newest state of each centre on this connection. Pure.

    A broker's PUBACK is not durability: a mosquitto that was killed had lost every message that it
    had acknowledged (measured). So if there is a centre, only its acknowledgement counts. A centre
    is known from its retained state; a killed broker may have lost that too, so the box remembers that
    there was a centre, and does not take silence for its end.

    `centre_known`: there is a centre, announced on this or an earlier connection or named in the
    configuration, that has not retired. `are_acks_signed`: the box has a control authority; no PUBACK frees a message
    then. `subscribed_for_s` is how long retained states could have arrived.
    """
    if ack_setting == "broker":
        return "broker"
    if "listening" in states:
        return "centre"
    if centre_known:
        return "hold"
    if states or subscribed_for_s >= CENTRE_STATE_WAIT_S:
        return "hold" if are_acks_signed else "broker"
    return "undecided"


class CentreLink:
    """States of the centres since the connection began. Used by the connection's thread.

    If the configuration names centres, only these count, and each is waited for. One that listens and does
    not acknowledge for CENTRE_ACK_TIMEOUT_S is *silent*: as long as another listens it is treated as away,
    so that it does not hold up the other, and its next acknowledgement ends that.
    """

    def __init__(
        self,
        broker: BrokerConfig,
        messages: CentreMessages,
        outbox: Outbox,
        faults: FaultRegistry,
        now_s: Callable[[], float],
    ) -> None:
        self._ack_setting = broker.ack
        self._messages = messages
        self._named = broker.centres
        self._outbox = outbox
        self._faults = faults
        self._now_s = now_s
        self._states: dict[str, CentreStateName] = {}
        self._waiting_since_s: dict[str, float] = {}
        self._silent: set[str] = set()
        self._expected: frozenset[str] = frozenset()
        self.ack_mode: AckMode = "undecided"

    @property
    def is_listening(self) -> bool:
        """True if a centre acknowledges."""
        return "listening" in self._states.values()

    def on_state(self, centre: str, received: ReceivedPublish) -> bool:
        """Take a centre's state. Return True if the centre needs a birth to count from."""
        state = self._messages.read_state(centre, received.payload)
        if state is None or not self._outbox.centres.may_acknowledge(centre):
            # An empty message removes the retained one, as a broker's restart does. Only
            # `retired` means that the centre is gone.
            return False
        previous = self._states.pop(centre, None)
        self._states[centre] = state.state
        if len(self._states) > MAX_CENTRES:
            others = [name for name, known in self._states.items() if known != "listening"]
            del self._states[next(iter(others or self._states))]
        self._outbox.remember_centre(centre, is_retired=state.state == "retired")
        if state.state != "listening":
            self._silent.discard(centre)
            return False
        if previous == "listening" or (received.retained and self.ack_mode != "broker"):
            return False
        # The centre counts from the birth's floor; messages that a PUBACK freed are below it.
        self._end_wait(centre)
        return True

    def note_ack(self, centre: str) -> None:
        """Note an acknowledgement of a centre."""
        self._end_wait(centre)
        self._silent.discard(centre)

    def update_ack_mode(self, window: SendWindow, subscribed_for_s: float) -> None:
        """Choose the acknowledgement mode, and which of the named centres are expected to acknowledge."""
        self.ack_mode = choose_ack_mode(
            self._ack_setting,
            self._states.values(),
            centre_known=bool(self._outbox.centres.awaited),
            are_acks_signed=self._messages.are_signed,
            subscribed_for_s=subscribed_for_s,
        )
        if not self._named:
            return
        listening = {name for name, state in self._states.items() if state == "listening"}
        expected = frozenset(listening - self._silent or listening)
        if expected != self._expected:
            self._expected = expected
            window.acknowledge(self._outbox.expect_centres(expected))

    def update_fault(self, window: SendWindow) -> None:
        """Raise or clear NET-03: messages wait for a centre's acknowledgement."""
        now_s = self._now_s()
        problems = self._find_problems(window)
        for name in set(self._waiting_since_s) - set(problems):
            del self._waiting_since_s[name]
        lasting = [
            name
            for name in problems
            if now_s - self._waiting_since_s.setdefault(name, now_s) >= CENTRE_ACK_TIMEOUT_S
        ]
        self._silent |= {name for name in lasting if self._states.get(name) == "listening"}
        if lasting:
            detail = reduce(join_sentences, (problems[name] for name in lasting))
            self._faults.raise_fault("NET-03", "centre", detail)
        elif not any(self._is_absent(name) for name in problems):
            self._faults.clear("NET-03", "centre")

    def _find_problems(self, window: SendWindow) -> Mapping[str, Message]:
        """Return why each centre that messages wait for has not acknowledged them yet."""
        if self.ack_mode not in ("centre", "hold"):
            return {}
        waiting_seq, is_pending = window.first_waiting_seq(), self._outbox.depth > 0
        if not self._named:
            is_waiting = is_pending if self.ack_mode == "hold" else waiting_seq is not None
            return {_ANY: self._describe_all()} if is_waiting else {}
        problems = {}
        for name in self._outbox.centres.awaited:
            state = self._states.get(name)
            if state == "listening" and name not in self._silent:
                is_waiting = waiting_seq is not None and not self._outbox.centres.has_acked(
                    name, waiting_seq
                )
            else:
                is_waiting = is_pending
            if is_waiting:
                problems[name] = _describe(name, state)
        return problems

    def _is_absent(self, name: str) -> bool:
        return self.ack_mode == "hold" if name == _ANY else self._states.get(name) != "listening"

    def _describe_all(self) -> Message:
        wanted = "listening" if self.ack_mode == "centre" else "away"
        concerned = [name for name, state in self._states.items() if state == wanted]
        if not concerned:
            return Message("no centre has announced itself since this connection began")
        return reduce(join_sentences, (_describe(name, self._states[name]) for name in concerned))

    def _end_wait(self, centre: str) -> None:
        self._waiting_since_s.pop(centre if self._named else _ANY, None)


def _describe(centre: str, state: CentreStateName | None) -> Message:
    match state:
        case "listening":
            return Message("centre {name!r} listens and does not acknowledge", name=centre)
        case None:
            return Message(
                "centre {name!r} has not announced itself since this connection began", name=centre
            )
        case _:
            return Message("centre {name!r} has said that it is away", name=centre)

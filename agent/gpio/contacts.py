"""What the contacts of the box mean: a door, a blow, the mains, the battery. Pure.

From a contact's level and time to events, and to the fault that stands meanwhile. A contact that
goes on is not told again: its fault stands in every report of health.
"""

from collections.abc import Callable

import msgspec

from agent.base.model import BOX, BoxEventKind, Event, EventPhase
from agent.config.pins import DoorPin, Input, PowerGoodPin, ShockPin, UpsLowPin
from agent.faults.registry import FaultCode
from agent.gpio.debounce import Debounce

NewId = Callable[[int], str]
"""From a `t_ns` to a new event id, a UUIDv7 of that moment."""


class _Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """`alarm` is the level that is bad. Without a `kind` there is a fault and no event."""

    code: FaultCode
    kind: BoxEventKind | None
    alarm: bool


_MEANINGS: dict[type[DoorPin | PowerGoodPin | UpsLowPin], _Meaning] = {
    DoorPin: _Meaning(code="GPI-02", kind="door", alarm=True),
    PowerGoodPin: _Meaning(code="GPI-04", kind="power", alarm=False),
    UpsLowPin: _Meaning(code="GPI-05", kind=None, alarm=True),
}


class LevelContact:
    """A contact that stands one way or the other. An alarm that is there when it is first seen
    begins an event, since nobody knows for how long it has been.
    """

    def __init__(self, pin: DoorPin | PowerGoodPin | UpsLowPin, new_id: NewId) -> None:
        self._meaning = _MEANINGS[type(pin)]
        self._new_id = new_id
        self._debounce = Debounce(pin.debounce_s)
        self._begun: Event | None = None
        self.pin: Input = pin
        self.code: FaultCode = self._meaning.code

    @property
    def active(self) -> bool | None:
        """How it stands, debounced; None while that is unknown."""
        return self._debounce.active

    @property
    def alarm(self) -> bool | None:
        """Whether its fault stands; None while that is unknown."""
        return None if self.active is None else self.active == self._meaning.alarm

    @property
    def due_ns(self) -> int | None:
        """When to call `settle` next."""
        return self._debounce.due_ns

    def feed(self, t_ns: int, *, active: bool) -> tuple[Event, ...]:
        """Take its level."""
        return self._told(changed=self._debounce.feed(t_ns, active=active))

    def settle(self, t_ns: int) -> tuple[Event, ...]:
        """What has become certain by now."""
        return self._told(changed=self._debounce.settle(t_ns))

    def forget(self) -> None:
        """The pins are closed: nobody knows how it stands. What has begun goes on."""
        self._debounce.forget()

    def _told(self, *, changed: bool) -> tuple[Event, ...]:
        kind = self._meaning.kind
        if not changed or kind is None:
            return ()
        t_ns = self._debounce.since_ns
        if self.alarm and self._begun is None:
            event = _event(self._new_id, kind, "begin", t_ns, self.pin.name)
            self._begun = event
            return (event,)
        if not self.alarm and self._begun is not None:
            begun, self._begun = self._begun, None
            return (
                msgspec.structs.replace(
                    begun,
                    rev=begun.rev + 1,
                    phase="end",
                    t_ns=t_ns,
                    duration_s=round((t_ns - begun.begin_ns) / 1e9, 3),
                ),
            )
        return ()


class ShockSensor:
    """A contact that pulses when the box is struck. It is not debounced: its pulses are short, and
    what follows within `quiet_s` belongs to the same blow.
    """

    code: FaultCode = "GPI-03"

    def __init__(self, pin: ShockPin, new_id: NewId) -> None:
        self._quiet_ns = round(pin.quiet_s * 1e9)
        self._fault_ns = round(pin.fault_s * 1e9)
        self._new_id = new_id
        self._level: bool | None = None
        self._last_ns: int | None = None
        self.pin: Input = pin
        self.alarm = False
        """Whether its fault stands."""

    @property
    def due_ns(self) -> int | None:
        """When to call `settle` next."""
        if not self.alarm or self._last_ns is None:
            return None
        return self._last_ns + self._fault_ns

    def feed(self, t_ns: int, *, active: bool) -> tuple[Event, ...]:
        """Take its level. The first one says nothing: it may have stood so for long."""
        struck = active and self._level is False
        self._level = active
        if not struck:
            return self.settle(t_ns)
        is_new = self._last_ns is None or t_ns - self._last_ns >= self._quiet_ns
        self._last_ns, self.alarm = t_ns, True
        return (_event(self._new_id, "shock", "moment", t_ns, self.pin.name),) if is_new else ()

    def settle(self, t_ns: int) -> tuple[Event, ...]:
        """The fault goes when it has stood for long enough."""
        if self._last_ns is not None and t_ns - self._last_ns >= self._fault_ns:
            self.alarm = False
        return ()

    def forget(self) -> None:
        """The pins are closed: nobody knows its level."""
        self._level = None


Contact = LevelContact | ShockSensor


def contact(pin: Input, new_id: NewId) -> Contact:
    """What a pin of this kind means."""
    return ShockSensor(pin, new_id) if isinstance(pin, ShockPin) else LevelContact(pin, new_id)


def _event(new_id: NewId, kind: BoxEventKind, phase: EventPhase, t_ns: int, name: str) -> Event:
    return Event(
        event=new_id(t_ns),
        rev=1,
        kind=kind,
        phase=phase,
        camera=BOX,
        t_ns=t_ns,
        begin_ns=t_ns,
        name=name,
    )

"""The contacts of the box: door, shock, mains, battery. Pure.

A contact turns levels and times into events, and into a fault meanwhile. An alarm that lasts is not
reported again: its fault is in every health report.
"""

import msgspec

from agent.base.event_lifecycle import EventLifecycle, NewId, momentary_event
from agent.base.event_type import EventType
from agent.base.model import BOX_EVENT_SOURCE, Event
from agent.config.pins import DoorPin, InputPin, PowerGoodPin, ShockPin, UpsLowPin
from agent.faults.registry import FaultCode


class Debouncer:
    """Changes `active` once the level of a contact has been stable for `stable_s`.

    `active` is None until the level was stable for the first time; `since_ns` is when the present
    level began. A change counts from its last bounce.
    """

    def __init__(self, stable_s: float) -> None:
        self._stable_ns = round(stable_s * 1e9)
        self._raw_level: bool | None = None
        self._raw_since_ns = 0
        self.active: bool | None = None
        self.since_ns = 0

    @property
    def due_ns(self) -> int | None:
        """When to call `settle` next, None if no change is pending."""
        return None if self._raw_level == self.active else self._raw_since_ns + self._stable_ns

    def feed(self, t_ns: int, *, active: bool) -> bool:
        """Take a level, changed or not; return whether `active` changed before it."""
        changed = self.settle(t_ns)
        if active != self._raw_level:
            self._raw_level, self._raw_since_ns = active, t_ns
        return changed

    def settle(self, t_ns: int) -> bool:
        """Return whether `active` has changed by now."""
        due_ns = self.due_ns
        if due_ns is None or t_ns < due_ns:
            return False
        self.active, self.since_ns = self._raw_level, self._raw_since_ns
        return True

    def reset(self) -> None:
        """Forget the level: it is unknown."""
        self._raw_level = self.active = None


DOOR = EventType(kind="door", title="open door", begin="the door is open", end="the door is closed")
SHOCK = EventType(kind="shock", title="shock to the box", begin="the box or its pole was struck")
POWER = EventType(
    kind="power",
    title="loss of mains power",
    begin="mains power is lost",
    end="mains power is back",
)


class _ContactSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The fault and the event of a contact at `alarm_level`; without `event_type` no event."""

    code: FaultCode
    event_type: EventType | None
    alarm_level: bool


_CONTACT_SPECS: dict[type[DoorPin | PowerGoodPin | UpsLowPin], _ContactSpec] = {
    DoorPin: _ContactSpec(code="GPI-02", event_type=DOOR, alarm_level=True),
    PowerGoodPin: _ContactSpec(code="GPI-04", event_type=POWER, alarm_level=False),
    UpsLowPin: _ContactSpec(code="GPI-05", event_type=None, alarm_level=True),
}


class LevelContact:
    """A contact with two lasting levels.

    An alarm at the first reading begins an event, since it may have begun at any time before.
    """

    def __init__(self, pin: DoorPin | PowerGoodPin | UpsLowPin, new_id: NewId) -> None:
        self._spec = _CONTACT_SPECS[type(pin)]
        self._new_id = new_id
        self._debounce = Debouncer(pin.debounce_s)
        self._open_event: EventLifecycle | None = None
        self.pin: InputPin = pin
        self.code: FaultCode = self._spec.code

    @property
    def active(self) -> bool | None:
        """The debounced level, None while it is unknown."""
        return self._debounce.active

    @property
    def alarm(self) -> bool | None:
        """Whether its fault is active, None while that is unknown."""
        return None if self.active is None else self.active == self._spec.alarm_level

    @property
    def due_ns(self) -> int | None:
        """When to call `settle` next."""
        return self._debounce.due_ns

    def feed(self, t_ns: int, *, active: bool) -> tuple[Event, ...]:
        """Take the present level; return the events of a change."""
        return self._make_events(changed=self._debounce.feed(t_ns, active=active))

    def settle(self, t_ns: int) -> tuple[Event, ...]:
        """Return the events of a change that has become stable by now."""
        return self._make_events(changed=self._debounce.settle(t_ns))

    def reset(self) -> None:
        """Forget the level, because the pins are closed. A begun event stays open."""
        self._debounce.reset()

    def _make_events(self, *, changed: bool) -> tuple[Event, ...]:
        event_type = self._spec.event_type
        if not changed or event_type is None:
            return ()
        t_ns = self._debounce.since_ns
        if self.alarm and self._open_event is None:
            self._open_event = EventLifecycle.begin(
                self._new_id, event_type, BOX_EVENT_SOURCE, t_ns, name=self.pin.name
            )
            return (self._open_event.last_revision,)
        if not self.alarm and self._open_event is not None:
            open_event, self._open_event = self._open_event, None
            return (open_event.end(t_ns),)
        return ()


class ShockSensor:
    """A contact that pulses when the box is struck.

    It is not debounced: its pulses are short, and pulses within `quiet_s` are one shock.
    """

    code: FaultCode = "GPI-03"

    def __init__(self, pin: ShockPin, new_id: NewId) -> None:
        self._quiet_ns = round(pin.quiet_s * 1e9)
        self._fault_ns = round(pin.fault_s * 1e9)
        self._new_id = new_id
        self._last_level: bool | None = None
        self._last_shock_ns: int | None = None
        self.pin: InputPin = pin
        self.alarm = False
        """Whether its fault is active."""

    @property
    def due_ns(self) -> int | None:
        """When to call `settle` next."""
        if not self.alarm or self._last_shock_ns is None:
            return None
        return self._last_shock_ns + self._fault_ns

    def feed(self, t_ns: int, *, active: bool) -> tuple[Event, ...]:
        """Take the present level. The first one is no shock: it may have been so for long."""
        is_shock = active and self._last_level is False
        self._last_level = active
        if not is_shock:
            return self.settle(t_ns)
        is_new = self._last_shock_ns is None or t_ns - self._last_shock_ns >= self._quiet_ns
        self._last_shock_ns, self.alarm = t_ns, True
        if not is_new:
            return ()
        shock = momentary_event(self._new_id, SHOCK, BOX_EVENT_SOURCE, t_ns, name=self.pin.name)
        return (shock,)

    def settle(self, t_ns: int) -> tuple[Event, ...]:
        """Clear the fault after `fault_s` without a shock."""
        if self._last_shock_ns is not None and t_ns - self._last_shock_ns >= self._fault_ns:
            self.alarm = False
        return ()

    def reset(self) -> None:
        """Forget the level, because the pins are closed."""
        self._last_level = None


Contact = LevelContact | ShockSensor


def make_contact(pin: InputPin, new_id: NewId) -> Contact:
    """Return the contact of a pin."""
    return ShockSensor(pin, new_id) if isinstance(pin, ShockPin) else LevelContact(pin, new_id)

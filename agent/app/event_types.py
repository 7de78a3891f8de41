"""Every kind of event that a box sends: the closed set of docs/asyncapi.json."""

from collections.abc import Mapping

from agent.base.event_type import EventType
from agent.capture.camera_source import CAMERA_EVENT_TYPES
from agent.diagnostics.selftest.selftest_service import SELFTEST
from agent.gpio.contacts import DOOR, POWER, SHOCK
from agent.health.clock_step import CLOCK_STEP
from agent.incident.incident_stage import INCIDENT

EVENT_TYPES: Mapping[str, EventType] = {
    event_type.kind: event_type
    for event_type in (*CAMERA_EVENT_TYPES, DOOR, SHOCK, POWER, SELFTEST, CLOCK_STEP, INCIDENT)
}
"""Every event type, by its kind."""

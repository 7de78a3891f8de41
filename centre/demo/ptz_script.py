"""Script of the demo with a head: which operator sends which command, and when. Pure."""

from typing import Any, Literal

import msgspec

from agent.base.health_model import HeadHealth

Holder = Literal["operator", "tour"]


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A requester: the name in their commands, and the name in the demo's log."""

    name: str
    title: str
    role: Literal["operator", "incident"]


class StepTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """When a step is due, counted from the final reply to the step before.

    It is due `delay_s` after the head is at rest, is held by `holder` and has reached so many
    `tour_stops`, but after `timeout_s` at the latest.
    """

    delay_s: float = 0.0
    at_rest: bool = False
    holder: Holder | None = None
    tour_stops: int = 0
    timeout_s: float = 25.0


class ScriptStep(msgspec.Struct, frozen=True, kw_only=True):
    """One command. `action_text` follows the person's title in the log.

    With `with_token` the command carries the token of the person's newest lease.
    """

    person: Person
    action_text: str
    args: dict[str, Any]
    verb: str = "ptz"
    trigger: StepTrigger = StepTrigger()
    with_token: bool = False
    reply_timeout_s: float = 30.0


class PtzScript(msgspec.Struct, frozen=True, kw_only=True):
    """All steps, and the times of the configuration that the script is made for.

    A lease ends `lease_s` after its holder's last command, the tour stays `dwell_s` at each stop,
    and the demo ends `end_delay_s` after the last reply.
    """

    steps: tuple[ScriptStep, ...]
    lease_s: float = 8.0
    dwell_s: float = 2.5
    end_delay_s: float = 2.0


HEAD_NAME, CAMERA_NAME, TOUR_NAME = "head", "street", "tour"
JONAS = Person(name="jonas", title="Jonas (technician)", role="operator")
AMINA = Person(name="amina", title="Amina (control room)", role="operator")
TRAFFIC_DESK = Person(name="traffic-desk", title="The traffic desk", role="incident")

PRESETS: dict[str, tuple[float, float]] = {
    "avenue": (-14.0, -12.0),
    "square": (32.0, -14.0),
    "behind": (-150.0, -10.0),
}
"""Pan and tilt of each preset, in degrees."""


def _ptz_args(do: str, **arguments: Any) -> dict[str, Any]:
    return {"do": do, "head": HEAD_NAME, **arguments}


def _store_preset_steps(preset: str) -> tuple[ScriptStep, ScriptStep]:
    pan_deg, tilt_deg = PRESETS[preset]
    return (
        ScriptStep(
            person=JONAS,
            action_text=f"turns the head to pan {pan_deg:.0f}, tilt {tilt_deg:.0f}",
            args=_ptz_args("goto", pan_deg=pan_deg, tilt_deg=tilt_deg),
            trigger=StepTrigger(at_rest=True, delay_s=0.2),
        ),
        ScriptStep(
            person=JONAS,
            action_text=f"stores this position as preset '{preset}'",
            args=_ptz_args("set_preset", preset=preset),
            trigger=StepTrigger(at_rest=True, delay_s=0.2),
        ),
    )


SETUP_STEPS = (
    *(step for preset in PRESETS for step in _store_preset_steps(preset)),
    ScriptStep(
        person=JONAS,
        action_text=f"starts the tour '{TOUR_NAME}'",
        args=_ptz_args("start_tour", tour=TOUR_NAME),
    ),
    ScriptStep(
        person=JONAS, action_text="releases the lease", args=_ptz_args("release"), with_token=True
    ),
)
TAKEOVER_STEPS = (
    ScriptStep(
        person=AMINA,
        action_text="acquires the head",
        args=_ptz_args("acquire"),
        trigger=StepTrigger(holder="tour", tour_stops=3, delay_s=1.0, timeout_s=40),
    ),
    ScriptStep(
        person=AMINA,
        action_text="looks along the pavement and zooms in",
        args=_ptz_args("goto", pan_deg=-26.0, tilt_deg=-8.0, zoom=0.4),
        with_token=True,
        trigger=StepTrigger(delay_s=0.5),
    ),
    ScriptStep(
        person=AMINA,
        action_text="moves it a little to the right by hand",
        args=_ptz_args("move", pan=0.12, tilt=0.03, for_s=1.2),
        with_token=True,
        trigger=StepTrigger(at_rest=True, delay_s=0.3),
    ),
    ScriptStep(
        person=AMINA,
        action_text="requests a snapshot",
        verb="snapshot",
        args={"camera": CAMERA_NAME, "max_bytes": 120_000},
        trigger=StepTrigger(at_rest=True, delay_s=0.6),
    ),
    ScriptStep(
        person=TRAFFIC_DESK,
        action_text="also requests the head, with a lower priority",
        args=_ptz_args("goto", pan_deg=90.0, tilt_deg=-15.0),
        trigger=StepTrigger(delay_s=0.4),
    ),
    ScriptStep(
        person=AMINA,
        action_text="requests a view of the windows opposite",
        args=_ptz_args("goto", pan_deg=-90.0, tilt_deg=20.0),
        with_token=True,
        trigger=StepTrigger(delay_s=0.8),
    ),
    ScriptStep(
        person=AMINA,
        action_text="moves it to the right for 6 s",
        args=_ptz_args("move", pan=0.4, for_s=6.0),
        with_token=True,
        trigger=StepTrigger(delay_s=1.0),
    ),
    ScriptStep(
        person=AMINA,
        action_text="stops it",
        args=_ptz_args("stop"),
        trigger=StepTrigger(delay_s=1.2),
    ),
)
RESUME_STEPS = (
    ScriptStep(
        person=AMINA,
        action_text="moves it with the token of the expired lease",
        args=_ptz_args("move", pan=-0.2, for_s=1.0),
        with_token=True,
        trigger=StepTrigger(holder="tour", tour_stops=1, delay_s=1.0),
    ),
)
SWEEP_STEPS = (
    ScriptStep(
        person=AMINA,
        action_text="requests a panorama",
        args=_ptz_args("sweep"),
        trigger=StepTrigger(holder="tour", delay_s=1.5),
        reply_timeout_s=90.0,
    ),
)
SCRIPT = PtzScript(steps=(*SETUP_STEPS, *TAKEOVER_STEPS, *RESUME_STEPS, *SWEEP_STEPS))


class ScriptRunner:
    """Selects the step that is due. Times are seconds since the demo's start."""

    def __init__(self, script: PtzScript) -> None:
        self._script = script
        self._index = 0
        self._sent_s: float | None = None
        self._idle_since_s = 0.0
        self._ready_since_s: float | None = None
        self._tour_stops = 0

    def on_reply(self, t_s: float) -> None:
        """Record the final reply to the newest step."""
        self._sent_s, self._idle_since_s, self._ready_since_s, self._tour_stops = None, t_s, None, 0

    def on_tour_stop(self) -> None:
        """Record that the tour has reached a stop."""
        self._tour_stops += 1

    def is_over(self, t_s: float) -> bool:
        """Return whether all steps are done and the end delay is over."""
        is_pending = self._index < len(self._script.steps) or self._sent_s is not None
        return not is_pending and t_s - self._idle_since_s >= self._script.end_delay_s

    def next_step(self, t_s: float, head: HeadHealth) -> ScriptStep | None:
        """Return the next step if it is due, else None. Each step is returned once."""
        steps = self._script.steps
        if self._sent_s is not None:
            if t_s - self._sent_s >= steps[self._index - 1].reply_timeout_s:
                self.on_reply(t_s)
            return None
        if self._index >= len(steps) or not self._is_due(steps[self._index].trigger, t_s, head):
            return None
        self._index += 1
        self._sent_s = t_s
        return steps[self._index - 1]

    def _is_due(self, trigger: StepTrigger, t_s: float, head: HeadHealth) -> bool:
        if not head.open:
            return False
        at_rest = head.pan_deg is not None and not head.moving
        is_ready = (
            (at_rest or not trigger.at_rest)
            and trigger.holder in (None, head.holder)
            and self._tour_stops >= trigger.tour_stops
        )
        if not is_ready:
            self._ready_since_s = None
        elif self._ready_since_s is None:
            self._ready_since_s = t_s
        delay_is_over = (
            self._ready_since_s is not None and t_s - self._ready_since_s >= trigger.delay_s
        )
        return delay_is_over or t_s - self._idle_since_s >= trigger.timeout_s

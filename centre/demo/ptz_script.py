"""What the demo's people do with the head, and when: a table. What comes of it is not in here."""

from typing import Any, Literal

import msgspec

from agent.base.health_model import HeadHealth

Holder = Literal["operator", "tour"]


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: the name that the box is told, and how the demo calls him."""

    name: str
    title: str
    role: Literal["operator", "incident"]


class StepTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """When it is a step's turn, once the step before has its last reply: `pause_s` after the head is
    at rest, held by `holder`, and has been at so many `stops` of the tour. What has not come
    `within_s` is waited for no longer.
    """

    delay_s: float = 0.0
    at_rest: bool = False
    holder: Holder | None = None
    tour_stops: int = 0
    timeout_s: float = 25.0


class ScriptStep(msgspec.Struct, frozen=True, kw_only=True):
    """One command. `asks` completes the sentence that begins with the person's title. With
    `with_token` the token of his last lease goes along.
    """

    person: Person
    action_text: str
    args: dict[str, Any]
    verb: str = "ptz"
    trigger: StepTrigger = StepTrigger()
    with_token: bool = False
    reply_timeout_s: float = 30.0


class PtzScript(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `lease_s` is how long who took the head keeps it after his last word, `dwell_s` how
    long the tour stays at each stop, `after_s` how long is shown after the last step.
    """

    steps: tuple[ScriptStep, ...]
    lease_s: float = 8.0
    dwell_s: float = 2.5
    end_delay_s: float = 2.0


HEAD_NAME, CAMERA_NAME, TOUR_NAME = "mast", "street", "round"
JONAS = Person(name="jonas", title="Jonas (technician)", role="operator")
AMINA = Person(name="amina", title="Amina (control room)", role="operator")
TRAFFIC_DESK = Person(name="traffic-desk", title="The traffic desk", role="incident")

PRESETS: dict[str, tuple[float, float]] = {
    "avenue": (-14.0, -12.0),
    "square": (32.0, -14.0),
    "behind": (-150.0, -10.0),
}
"""Pan and tilt of each, in degrees."""


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
            action_text=f"stores the place as preset '{preset}'",
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
        person=JONAS, action_text="gives the head back", args=_ptz_args("release"), with_token=True
    ),
)
TAKEOVER_STEPS = (
    ScriptStep(
        person=AMINA,
        action_text="takes the head",
        args=_ptz_args("acquire"),
        trigger=StepTrigger(holder="tour", tour_stops=3, delay_s=1.0, timeout_s=40),
    ),
    ScriptStep(
        person=AMINA,
        action_text="looks along the pavement, and zooms in",
        args=_ptz_args("goto", pan_deg=-26.0, tilt_deg=-8.0, zoom=0.4),
        with_token=True,
        trigger=StepTrigger(delay_s=0.5),
    ),
    ScriptStep(
        person=AMINA,
        action_text="moves it by hand, a little to the right",
        args=_ptz_args("move", pan=0.12, tilt=0.03, for_s=1.2),
        with_token=True,
        trigger=StepTrigger(at_rest=True, delay_s=0.3),
    ),
    ScriptStep(
        person=AMINA,
        action_text="wants a picture",
        verb="snapshot",
        args={"camera": CAMERA_NAME, "max_bytes": 120_000},
        trigger=StepTrigger(at_rest=True, delay_s=0.6),
    ),
    ScriptStep(
        person=TRAFFIC_DESK,
        action_text="wants the head, too, and is of lower rank",
        args=_ptz_args("goto", pan_deg=90.0, tilt_deg=-15.0),
        trigger=StepTrigger(delay_s=0.4),
    ),
    ScriptStep(
        person=AMINA,
        action_text="wants to look up at the houses opposite",
        args=_ptz_args("goto", pan_deg=-90.0, tilt_deg=20.0),
        with_token=True,
        trigger=StepTrigger(delay_s=0.8),
    ),
    ScriptStep(
        person=AMINA,
        action_text="moves it to the right, for 6 s",
        args=_ptz_args("move", pan=0.4, for_s=6.0),
        with_token=True,
        trigger=StepTrigger(delay_s=1.0),
    ),
    ScriptStep(
        person=AMINA,
        action_text="says stop",
        args=_ptz_args("stop"),
        trigger=StepTrigger(delay_s=1.2),
    ),
)
RESUME_STEPS = (
    ScriptStep(
        person=AMINA,
        action_text="comes back, with the token of the lease that is over",
        args=_ptz_args("move", pan=-0.2, for_s=1.0),
        with_token=True,
        trigger=StepTrigger(holder="tour", tour_stops=1, delay_s=1.0),
    ),
)
SWEEP_STEPS = (
    ScriptStep(
        person=AMINA,
        action_text="wants a look all around",
        args=_ptz_args("sweep"),
        trigger=StepTrigger(holder="tour", delay_s=1.5),
        reply_timeout_s=90.0,
    ),
)
SCRIPT = PtzScript(steps=(*SETUP_STEPS, *TAKEOVER_STEPS, *RESUME_STEPS, *SWEEP_STEPS))


class ScriptRunner:
    """Says whose turn it is. Pure; times are seconds of the demo."""

    def __init__(self, script: PtzScript) -> None:
        self._script = script
        self._index = 0
        self._sent_s: float | None = None
        self._idle_since_s = 0.0
        self._ready_since_s: float | None = None
        self._tour_stops = 0

    def on_reply(self, t_s: float) -> None:
        """The last step got its last reply."""
        self._sent_s, self._idle_since_s, self._ready_since_s, self._tour_stops = None, t_s, None, 0

    def on_tour_stop(self) -> None:
        """The tour has reached a stop."""
        self._tour_stops += 1

    def is_over(self, t_s: float) -> bool:
        """Whether all was done and shown."""
        is_pending = self._index < len(self._script.steps) or self._sent_s is not None
        return not is_pending and t_s - self._idle_since_s >= self._script.end_delay_s

    def next_step(self, t_s: float, head: HeadHealth) -> ScriptStep | None:
        """The next step, where it is time for it; each is given once."""
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

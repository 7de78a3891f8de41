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


class Cue(msgspec.Struct, frozen=True, kw_only=True):
    """When it is a step's turn, once the step before has its last reply: `pause_s` after the head is
    at rest, held by `holder`, and has been at so many `stops` of the tour. What has not come
    `within_s` is waited for no longer.
    """

    pause_s: float = 0.0
    standing: bool = False
    holder: Holder | None = None
    stops: int = 0
    within_s: float = 25.0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One command. `asks` completes the sentence that begins with the person's title. With
    `with_token` the token of his last lease goes along.
    """

    who: Person
    asks: str
    args: dict[str, Any]
    verb: str = "ptz"
    cue: Cue = Cue()
    with_token: bool = False
    answered_within_s: float = 30.0


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `lease_s` is how long who took the head keeps it after his last word, `dwell_s` how
    long the tour stays at each stop, `after_s` how long is shown after the last step.
    """

    steps: tuple[Step, ...]
    lease_s: float = 8.0
    dwell_s: float = 2.5
    after_s: float = 2.0


HEAD, CAMERA, TOUR = "mast", "street", "round"
JONAS = Person(name="jonas", title="Jonas (technician)", role="operator")
AMINA = Person(name="amina", title="Amina (control room)", role="operator")
DESK = Person(name="traffic-desk", title="The traffic desk", role="incident")

PRESETS: dict[str, tuple[float, float]] = {
    "avenue": (-14.0, -12.0),
    "square": (32.0, -14.0),
    "behind": (-150.0, -10.0),
}
"""Pan and tilt of each, in degrees."""


def _ptz(do: str, **more: Any) -> dict[str, Any]:
    return {"do": do, "head": HEAD, **more}


def _stored(preset: str) -> tuple[Step, Step]:
    pan_deg, tilt_deg = PRESETS[preset]
    return (
        Step(
            who=JONAS,
            asks=f"turns the head to pan {pan_deg:.0f}, tilt {tilt_deg:.0f}",
            args=_ptz("goto", pan_deg=pan_deg, tilt_deg=tilt_deg),
            cue=Cue(standing=True, pause_s=0.2),
        ),
        Step(
            who=JONAS,
            asks=f"stores the place as preset '{preset}'",
            args=_ptz("preset_set", preset=preset),
            cue=Cue(standing=True, pause_s=0.2),
        ),
    )


SETTING_UP = (
    *(step for preset in PRESETS for step in _stored(preset)),
    Step(who=JONAS, asks=f"starts the tour '{TOUR}'", args=_ptz("tour_start", tour=TOUR)),
    Step(who=JONAS, asks="gives the head back", args=_ptz("release"), with_token=True),
)
TAKING_OVER = (
    Step(
        who=AMINA,
        asks="takes the head",
        args=_ptz("take"),
        cue=Cue(holder="tour", stops=3, pause_s=1.0, within_s=40),
    ),
    Step(
        who=AMINA,
        asks="looks along the pavement, and zooms in",
        args=_ptz("goto", pan_deg=-26.0, tilt_deg=-8.0, zoom=0.4),
        with_token=True,
        cue=Cue(pause_s=0.5),
    ),
    Step(
        who=AMINA,
        asks="moves it by hand, a little to the right",
        args=_ptz("move", pan=0.12, tilt=0.03, for_s=1.2),
        with_token=True,
        cue=Cue(standing=True, pause_s=0.3),
    ),
    Step(
        who=AMINA,
        asks="wants a picture",
        verb="snapshot",
        args={"camera": CAMERA, "max_bytes": 120_000},
        cue=Cue(standing=True, pause_s=0.6),
    ),
    Step(
        who=DESK,
        asks="wants the head, too, and is of lower rank",
        args=_ptz("goto", pan_deg=90.0, tilt_deg=-15.0),
        cue=Cue(pause_s=0.4),
    ),
    Step(
        who=AMINA,
        asks="wants to look up at the houses opposite",
        args=_ptz("goto", pan_deg=-90.0, tilt_deg=20.0),
        with_token=True,
        cue=Cue(pause_s=0.8),
    ),
    Step(
        who=AMINA,
        asks="moves it to the right, for 6 s",
        args=_ptz("move", pan=0.4, for_s=6.0),
        with_token=True,
        cue=Cue(pause_s=1.0),
    ),
    Step(who=AMINA, asks="says stop", args=_ptz("stop"), cue=Cue(pause_s=1.2)),
)
RESUMING = (
    Step(
        who=AMINA,
        asks="comes back, with the token of the lease that is over",
        args=_ptz("move", pan=-0.2, for_s=1.0),
        with_token=True,
        cue=Cue(holder="tour", stops=1, pause_s=1.0),
    ),
)
SWEEPING = (
    Step(
        who=AMINA,
        asks="wants a look all around",
        args=_ptz("sweep"),
        cue=Cue(holder="tour", pause_s=1.5),
        answered_within_s=90.0,
    ),
)
SCRIPT = Script(steps=(*SETTING_UP, *TAKING_OVER, *RESUMING, *SWEEPING))


class Prompter:
    """Says whose turn it is. Pure; times are seconds of the demo."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._index = 0
        self._asked_s: float | None = None
        self._since_s = 0.0
        self._ready_s: float | None = None
        self._stops = 0

    def answered(self, t_s: float) -> None:
        """The last step got its last reply."""
        self._asked_s, self._since_s, self._ready_s, self._stops = None, t_s, None, 0

    def tour_stopped(self) -> None:
        """The tour has reached a stop."""
        self._stops += 1

    def is_over(self, t_s: float) -> bool:
        """Whether all was done and shown."""
        left = self._index < len(self._script.steps) or self._asked_s is not None
        return not left and t_s - self._since_s >= self._script.after_s

    def due(self, t_s: float, head: HeadHealth) -> Step | None:
        """The next step, where it is time for it; each is given once."""
        steps = self._script.steps
        if self._asked_s is not None:
            if t_s - self._asked_s >= steps[self._index - 1].answered_within_s:
                self.answered(t_s)
            return None
        if self._index >= len(steps) or not self._has_come(steps[self._index].cue, t_s, head):
            return None
        self._index += 1
        self._asked_s = t_s
        return steps[self._index - 1]

    def _has_come(self, cue: Cue, t_s: float, head: HeadHealth) -> bool:
        if not head.open:
            return False
        stands = head.pan_deg is not None and not head.moving
        ready = (
            (stands or not cue.standing)
            and cue.holder in (None, head.holder)
            and self._stops >= cue.stops
        )
        if not ready:
            self._ready_s = None
        elif self._ready_s is None:
            self._ready_s = t_s
        paused = self._ready_s is not None and t_s - self._ready_s >= cue.pause_s
        return paused or t_s - self._since_s >= cue.within_s

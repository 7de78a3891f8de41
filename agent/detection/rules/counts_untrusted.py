"""`counts_untrusted`: the view has a limit, so that road users are missed and counts are too low."""

from agent.base.event_lifecycle import EventLifecycle
from agent.base.event_type import EventType
from agent.base.model import Event, FrameResult
from agent.detection.rules.rule import RuleContext, RuleType
from agent.detection.scene import Scene

COUNTS_UNTRUSTED = EventType(
    kind="counts_untrusted",
    title="counts that are not to be trusted",
    begin="counts are not to be trusted: {reasons}",
    end="counts are to be trusted again{duration}",
    severity="fault",
)


class CountsUntrustedRule:
    """Begins an event with the first limit of one camera's view, revises it with each change, and ends it with the last.

    The hysteresis is that of the limits.
    """

    def __init__(self, context: RuleContext) -> None:
        self._camera = context.camera
        self._new_id = context.new_id
        self._open: EventLifecycle | None = None

    def step(self, result: FrameResult) -> list[Event]:
        """Return what the limits of this picture begin, update or end."""
        if result.view is None:
            return []
        t_ns, limits = result.t_ns, result.view.limits
        if not limits:
            return self.flush(t_ns)
        if self._open is None:
            self._open = EventLifecycle.begin(
                self._new_id, COUNTS_UNTRUSTED, self._camera, t_ns, t_ns, untrusted_reasons=limits
            )
            return [self._open.last_revision]
        if limits != self._open.last_revision.untrusted_reasons or self._open.is_due(t_ns):
            return [self._open.update(t_ns, untrusted_reasons=limits)]
        return []

    def flush(self, t_ns: int) -> list[Event]:
        """End the open event, which keeps its last reasons."""
        lifecycle, self._open = self._open, None
        return [] if lifecycle is None else [lifecycle.end(t_ns)]


def _make(_scene: Scene, context: RuleContext) -> CountsUntrustedRule:
    return CountsUntrustedRule(context)


RULE = RuleType(events=(COUNTS_UNTRUSTED,), make=_make, needs=None)

"""When the health report is sent to the centre: at once if a state in it has changed, else at each interval. Pure.

Readings, such as temperatures and rates, differ from second to second and are no states. Whether counts are trusted is
none either: each minute of counts says so.
"""

from agent.base.health_model import HealthReport
from agent.base.token_bucket import TokenBucket

MAX_CHANGES = 10
"""Reports of changes that are sent at once, one after the other."""
CHANGE_INTERVAL_S = 30.0
"""Then one each so many seconds: a fault that comes and goes each second costs 2,880 reports a day and not 86,400."""


class ReportSchedule:
    """Decides for each report whether it is sent. A connection begins with one."""

    def __init__(self, interval_s: float, now_ns: int) -> None:
        # Reports come each second, so one that is half a second early is the one of this interval.
        self._interval_ns = int((interval_s - 0.5) * 1e9)
        self._changes = TokenBucket(1 / CHANGE_INTERVAL_S, MAX_CHANGES, now_ns)
        self._sent_states: tuple[object, ...] = ()
        """The session and the states of the report that was sent last."""
        self._sent_ns = now_ns

    def is_due(self, report: HealthReport, session: int | None, now_ns: int) -> bool:
        """Return whether to send this report in `session`, None if there is none. One that is due counts as sent."""
        if session is None:
            return False
        states = (session, *_read_states(report))
        is_interval_over = now_ns - self._sent_ns >= self._interval_ns
        if not is_interval_over and (states == self._sent_states or self._changes.take(now_ns) > 0):
            return False
        self._sent_states, self._sent_ns = states, now_ns
        return True


def _read_states(report: HealthReport) -> tuple[object, ...]:
    """Return what is reported at once when it changes."""
    link, vitals = report.link, report.vitals
    return (
        frozenset((fault.code, fault.subject) for fault in report.faults),
        report.degradation and report.degradation.level,
        report.clock and report.clock.synced,
        link and (link.adapter, link.kind, link.up),
        tuple((each.name, each.is_online, each.status, each.health) for each in vitals.supplies),
        # Other states of a camera have a fault, or last a few seconds.
        tuple((camera.name, camera.age_s is not None) for camera in report.cameras),
        frozenset(stage.name for stage in report.stages if stage.state == "failing"),
    )

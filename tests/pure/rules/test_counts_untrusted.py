"""agent.detection.rules.counts_untrusted: an event lasts as long as counts are not to be trusted."""

from collections.abc import Iterable

import msgspec
import pytest

from agent.base.event_type import EventType
from agent.base.model import Event
from agent.base.view_condition import VIEW_LIMITS, ViewCondition, ViewLimit
from agent.detection.rule_engine import RuleEngine
from agent.detection.rules.counts_untrusted import COUNTS_UNTRUSTED
from agent.detection.scene import Scene
from tests.pure.rules.scripted_tracks import NS_PER_S, event_names, frame_results, id_maker


def events_of(*parts: tuple[float, Iterable[ViewLimit] | None]) -> tuple[list[Event], RuleEngine]:
    """The events of a view whose limits are given by parts of some seconds; None: not diagnosed."""
    engine = RuleEngine("north", Scene(), id_maker())
    events: list[Event] = []
    ends_s, end_s = [], 0.0
    for length_s, limits in parts:
        end_s += length_s
        ends_s.append((end_s, limits))
    for result in frame_results([], end_s - 0.1):
        t_s = result.t_ns / NS_PER_S
        limits = next(limits for end, limits in ends_s if t_s < end)
        view = limits is not None and ViewCondition(
            state="good", since_ns=0, mean_luma=90, sharpness=0.7, limits=tuple(limits)
        )
        events.extend(engine.evaluate(msgspec.structs.replace(result, view=view or None)))
    return events, engine


def test_the_event_lasts_as_long_as_the_limit() -> None:
    events, _ = events_of((10, ()), (20, ("rain",)), (10, ()))
    assert event_names(events) == ["counts_untrusted begin", "counts_untrusted end"]
    begin, end = events
    assert (begin.t_ns, end.t_ns, end.duration_s) == (10 * NS_PER_S, 30 * NS_PER_S, 20)
    assert begin.untrusted_reasons == end.untrusted_reasons == ("rain",)


def test_a_change_of_the_limits_is_a_revision_of_the_event() -> None:
    events, _ = events_of((5, ("rain",)), (5, ("dark", "rain")), (5, ()))
    assert [(one.phase, one.untrusted_reasons) for one in events] == [
        ("begin", ("rain",)),
        ("update", ("dark", "rain")),
        ("end", ("dark", "rain")),
    ]
    assert len({one.event for one in events}) == 1


def test_an_open_event_is_sent_again_each_minute() -> None:
    events, _ = events_of((130, ("dark",)))
    assert [one.phase for one in events] == ["begin", "update", "update"]


def test_the_end_of_the_scene_ends_the_event() -> None:
    _, engine = events_of((5, ("lens",)))
    assert event_names(engine.flush(5 * NS_PER_S)) == ["counts_untrusted end"]


@pytest.mark.parametrize("limits", [(), None], ids=["none", "not diagnosed"])
def test_without_a_limit_there_is_no_event(limits: tuple[ViewLimit, ...] | None) -> None:
    assert events_of((70, limits))[0] == []


def test_a_view_that_is_not_diagnosed_for_a_while_changes_nothing() -> None:
    events, _ = events_of((5, ("rain",)), (5, None), (5, ("rain",)))
    assert event_names(events) == ["counts_untrusted begin"]


@pytest.mark.parametrize("limit", VIEW_LIMITS)
def test_its_sentence_names_the_reason(limit: ViewLimit) -> None:
    (begin, *_), _ = events_of((1, (limit,)))
    event_type: EventType = COUNTS_UNTRUSTED
    assert event_type.describe(begin) == f"counts are not to be trusted: {limit}"

"""State of each box of the fleet, built from its messages. Pure."""

from collections import Counter

from agent.reporting.payloads import Message
from centre.fleet.box_view import CONDITIONS, Arrival, BoxView, Condition

MAX_BOXES = 10_000
"""Without an access list at the broker, anybody may publish as any number of boxes."""


class FleetView:
    """All boxes that have sent a message."""

    def __init__(self) -> None:
        self._views: dict[str, BoxView] = {}

    def update(self, message: Message, arrival: Arrival) -> list[str]:
        """Update the box that sent the message. Return a line for each change."""
        view = self._views.get(message.box)
        if view is None:
            if len(self._views) >= MAX_BOXES:
                return []
            view = self._views[message.box] = BoxView(message.box)
        return [f"{view.box} {change}" for change in view.update(message, arrival)]

    def ranked(self, filter_text: str = "") -> tuple[BoxView, ...]:
        """Return the boxes with these words in one of their texts, the worst first, then by id."""
        words = filter_text.casefold().split()
        views = (view for view in self._views.values() if view.matches(words))
        return tuple(sorted(views, key=lambda view: view.rank))

    def totals(self) -> dict[Condition, int]:
        """Return the number of boxes in each condition that occurs, the worst first."""
        counts = Counter(view.condition for view in self._views.values())
        return {condition: counts[condition] for condition in CONDITIONS if counts[condition]}

"""State of each box of the fleet, built from its messages. Pure."""

from collections import Counter
from collections.abc import Iterable

from agent.reporting.payloads import Message
from centre.fleet.box_view import CONDITIONS, Arrival, BoxView, Condition
from centre.fleet.newest_heads import NewestHeads

MAX_BOXES = 10_000
"""Without an access list at the broker, anybody may publish as any number of boxes."""


class FleetView:
    """All boxes that have sent a message. `stored` are the newest messages with a chain head that a centre has stored."""

    def __init__(self, stored: Iterable[Message] = ()) -> None:
        self._views: dict[str, BoxView] = {}
        self._stored_heads: dict[str, NewestHeads] = {}
        for message in stored:
            self._stored_heads.setdefault(message.box, NewestHeads()).update(message)

    def update(self, message: Message, arrival: Arrival) -> list[str]:
        """Update the box that sent the message. Return a line for each change."""
        view = self._views.get(message.box)
        if view is None:
            if len(self._views) >= MAX_BOXES:
                return []
            view = self._views[message.box] = BoxView(
                message.box, self._stored_heads.pop(message.box, None)
            )
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

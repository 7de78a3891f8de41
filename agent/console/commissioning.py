"""The as-installed certificate at the console: the parts of `vigie commission`, in the console's words."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from agent.base.clock import Clock
from agent.console.results import CommissioningItem, ItemVerdict
from agent.diagnostics.commissioning.certificate import ItemAnswer
from drivers.media import Plane


class Commissioning:
    """Of a box whose agent runs, by who is logged in."""

    def __init__(self, config: Path, clock: Clock, by: str) -> None:
        # Here, because OpenCV and the models come with it.
        from agent.diagnostics.commissioning.inspection import CommissioningSession  # noqa: PLC0415

        self._site = CommissioningSession(config, clock, by)

    def walk(self, ask: Callable[[CommissioningItem], ItemVerdict]) -> Sequence[str]:
        """Have each part judged, and sign it. What is not good, and where it is written."""

        def judged(answer: ItemAnswer, picture: Plane | None) -> ItemAnswer:
            shown = picture if answer.part == "aim" else None
            said = ask(CommissioningItem(title=answer.title, found=answer.found, picture=shown))
            return msgspec.structs.replace(answer, good=said.good, note=said.note)

        written = self._site.commission(judged, None)
        bad = [answer for answer in written.record.answers if not answer.good]
        return (
            f"Written and signed: {written.folder}",
            *(f"NOT GOOD: {answer.title}: {answer.note or answer.found}" for answer in bad),
        )

    def compare(self) -> tuple[str, Sequence[tuple[str, str]]]:
        """When it was judged and by whom, and what is not as it was."""
        then, found = self._site.compare()
        return (
            f"Commissioned {then.made} by {then.by}.",
            [(f"{one.what} {one.of}" if one.of else one.what, one.said) for one in found],
        )

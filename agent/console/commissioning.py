"""The as-installed certificate at the console: the parts of `vigie commission`, in the console's words."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from agent.base.clock import Clock
from agent.console.results import CommissioningItem, ItemVerdict
from agent.diagnostics.commissioning.certificate import ItemAnswer
from drivers.media import Plane


class ConsoleCommissioning:
    """Of a box whose agent runs, by who is logged in."""

    def __init__(self, config_path: Path, clock: Clock, by: str) -> None:
        # Here, because OpenCV and the models come with it.
        from agent.diagnostics.commissioning.session import CommissioningSession  # noqa: PLC0415

        self._session = CommissioningSession(config_path, clock, by)

    def run(self, ask_verdict: Callable[[CommissioningItem], ItemVerdict]) -> Sequence[str]:
        """Have each part judged, and sign it. What is not good, and where it is written."""

        def apply_verdict(answer: ItemAnswer, picture: Plane | None) -> ItemAnswer:
            aim_picture = picture if answer.item == "aim" else None
            verdict = ask_verdict(
                CommissioningItem(title=answer.title, finding=answer.finding, picture=aim_picture)
            )
            return msgspec.structs.replace(answer, good=verdict.ok, note=verdict.note)

        result = self._session.commission(apply_verdict, None)
        rejected = [answer for answer in result.record.answers if not answer.good]
        return (
            f"Written and signed: {result.folder}",
            *(f"NOT GOOD: {answer.title}: {answer.note or answer.finding}" for answer in rejected),
        )

    def compare(self) -> tuple[str, Sequence[tuple[str, str]]]:
        """When it was judged and by whom, and what is not as it was."""
        record, differences = self._session.compare()
        return (
            f"Commissioned {record.created_time} by {record.technician}.",
            [
                (
                    f"{difference.kind} {difference.subject}"
                    if difference.subject
                    else difference.kind,
                    difference.message,
                )
                for difference in differences
            ],
        )

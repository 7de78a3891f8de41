"""Focus of a lens relative to the sharpest value seen while a technician turns it. Pure.

The measure is the focus of `lens_aim`: the mean energy of the gradients (Tenengrad) by the variance of the
picture. Its absolute value depends on the scene, so a lens is judged by the best value of the same scene.
"""

from collections import deque

PASS_PERCENT = 90
"""Share of the best seen from which a lens is in focus."""
MEDIAN_PICTURES = 3
"""A passer-by who covers the middle of one picture must not count as a turn of the lens."""
BAR_CHARS = 20


class FocusSearch:
    """Search for the sharpest position of a lens, picture by picture.

    A lens that was never turned is always at its own best. So it is judged only after the focus has
    fallen below the threshold behind the best one: then that is known to be a peak.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=MEDIAN_PICTURES)
        self._peak = 0.0
        """The best one when the focus fell below the threshold last."""
        self.focus = 0.0
        """The present focus, a median."""
        self.best = 0.0
        """The best focus seen."""

    def add(self, focus: float) -> None:
        """Take the focus of the next picture."""
        self._recent.append(focus)
        self.focus = sorted(self._recent)[len(self._recent) // 2]
        self.best = max(self.best, self.focus)
        if not is_in_focus(self.focus, self.best):
            self._peak = self.best

    @property
    def percent(self) -> int:
        """The present focus as a share of the best."""
        return percent_of_best(self.focus, self.best)

    @property
    def has_passed_peak(self) -> bool:
        """True if the lens was turned past its sharpest position.

        A best that exceeds the peak by less than the threshold is the same peak.
        """
        return self._peak > 0 and is_in_focus(self._peak, self.best)

    @property
    def is_in_focus(self) -> bool | None:
        """True from the threshold on; None if the lens was not turned past its sharpest position."""
        return is_in_focus(self.focus, self.best) if self.has_passed_peak else None


def percent_of_best(focus: float, best: float) -> int:
    """Return a focus as a share of the best, rounded down; 0 if there is none."""
    return int(100 * focus / best) if best > 0 else 0


def is_in_focus(focus: float, best: float) -> bool:
    """Return whether a focus reaches the threshold."""
    return percent_of_best(focus, best) >= PASS_PERCENT


def percent_bar(percent: int) -> str:
    """Return a share as a bar, with a mark at the threshold."""
    filled_chars = min(100, percent) * BAR_CHARS // 100
    cells = ["#"] * filled_chars + ["."] * (BAR_CHARS - filled_chars)
    if percent < PASS_PERCENT:
        cells[PASS_PERCENT * BAR_CHARS // 100 - 1] = "|"
    return "".join(cells)

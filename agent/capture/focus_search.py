"""Focus of a lens relative to the sharpest picture seen while a technician turns it. Pure.

Two pictures are compared block by block, by `lens_aim.measure_focus_blocks`; the median of the ratios is the
share, so that passing traffic changes little. On 22 clips of fixed cameras, 320 to 768 pixels wide, 1 of 959 sharp
pictures fell below the threshold; all that were blurred by a Gaussian of one pixel or a disc of two pixels'
radius were below it, at 79 % and 76 % at the most. Rejected: the focus of the whole picture, whose share traffic
alone took below 64 % in 5 % of the pictures of 23 clips.
"""

from collections import deque
from collections.abc import Sequence

from agent.capture.lens_aim import FocusBlocks

PASS_PERCENT = 85
"""Share of the best seen from which a lens is in focus."""
MEDIAN_PICTURES = 3
"""A passer-by who covers one picture must not count as a turn of the lens."""
MIN_BLOCKS = 12
"""A third: with fewer blocks that have detail in both pictures there is nothing to focus on."""
BAR_CHARS = 20


class FocusSearch:
    """Search for the sharpest position of a lens, picture by picture.

    A lens that was never turned is always at its own best. So it is judged only after the share has
    fallen below the threshold behind the best picture: then that is known to be a peak.
    """

    def __init__(self) -> None:
        self._recent: deque[FocusBlocks] = deque(maxlen=MEDIAN_PICTURES)
        self._peak: FocusBlocks = ()
        """The best one when the share fell below the threshold last."""
        self.best: FocusBlocks = ()
        """The sharpest picture seen."""
        self.percent: int | None = None
        """The present share of the best, or None if there is nothing to focus on."""

    def add(self, blocks: FocusBlocks) -> None:
        """Take the next picture."""
        self._recent.append(blocks)
        present = median_blocks(self._recent)
        self.percent = percent_of(present, self.best) if self.best else percent_of(present, present)
        if self.percent is None:
            return
        if not self.best or self.percent > 100:  # noqa: PLR2004 - percent
            self.best, self.percent = present, 100
        elif self.percent < PASS_PERCENT:
            self._peak = self.best

    @property
    def has_passed_peak(self) -> bool:
        """True if the lens was turned past its sharpest position.

        A best that exceeds the peak by less than the threshold is the same peak.
        """
        return (percent_of(self._peak, self.best) or 0) >= PASS_PERCENT

    @property
    def is_in_focus(self) -> bool | None:
        """True from the threshold on; None if the lens was not turned past its sharpest position."""
        if self.percent is None or not self.has_passed_peak:
            return None
        return self.percent >= PASS_PERCENT


def median_blocks(pictures: Sequence[FocusBlocks]) -> FocusBlocks:
    """Return the median of each block over pictures of one camera, of which there is at least one."""
    return tuple(sorted(values)[len(values) // 2] for values in zip(*pictures, strict=True))


def percent_of(blocks: FocusBlocks, reference: FocusBlocks) -> int | None:
    """Return the median share of the blocks, rounded down, or None if too few have detail in both."""
    ratios = sorted(
        value / reference_value
        for value, reference_value in zip(blocks, reference, strict=False)
        if value and reference_value
    )
    return int(100 * ratios[len(ratios) // 2]) if len(ratios) >= MIN_BLOCKS else None


def percent_bar(percent: int) -> str:
    """Return a share as a bar, with a mark at the threshold."""
    filled_chars = min(100, percent) * BAR_CHARS // 100
    cells = ["#"] * filled_chars + ["."] * (BAR_CHARS - filled_chars)
    if percent < PASS_PERCENT:
        cells[PASS_PERCENT * BAR_CHARS // 100 - 1] = "|"
    return "".join(cells)

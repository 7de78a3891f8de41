"""How a camera is aimed and how its lens is, from one picture: for who turns it. Pure.

The focus is judged without a scale of the scene: the strength of edges against the contrast of the
picture. Blur takes edges away long before it takes contrast, and light changes both alike.
"""

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from drivers.media import Plane

Grey = npt.NDArray[np.float32]

LEAST_PX = 24
"""A smaller picture tells nothing of edges."""
FLAT_STD = 3.0
"""Less contrast than this, in steps of 255: there is nothing to focus on."""
DARK, BRIGHT = 16, 240
TOO_MUCH = 0.25
HAZE_BLACK, HAZE_SPAN = 60, 90
FOCUS_SCALE = 75.0
FULL_SCORE = 70.0
BAR_CHARS = 40
RAMP = " .:-=+*#%@"
_ROWS_OF_SPOTS = ("top", "middle", "bottom")
_COLUMNS_OF_SPOTS = ("left", "centre left", "centre right", "right")
_SOFT = 0.05
_LEVEL_WITHIN_DEG = 15.0
_LEVEL_BIN_DEG = 0.5
_LEVEL_PASSES = 6
_LEVEL_SURE = 3.0
_LEVEL_EDGES = 200


class LensAim(msgspec.Struct, frozen=True, kw_only=True):
    """What a picture says. `focus` is 0 to about 70, None where it is too flat to tell; `lean_deg`
    is how far upright lines lean to the right, None where there are too few.
    """

    focus: float | None
    mean: float
    dark_share: float
    bright_share: float
    hazy: bool
    soft_spots: tuple[str, ...]
    lean_deg: float | None

    @property
    def exposure(self) -> str:
        """In a few words."""
        if self.bright_share > TOO_MUCH:
            return f"too bright: {self.bright_share:.0%} of it is white"
        if self.dark_share > 1 - TOO_MUCH:
            return f"too dark: {self.dark_share:.0%} of it is black"
        return "good"


def measure(luma: Plane) -> LensAim:
    """Judge a picture."""
    grey = _halved(luma)
    height, width = grey.shape
    centre = grey[height // 4 : height - height // 4, width // 4 : width - width // 4]
    low, high = np.percentile(grey, (2, 98))
    return LensAim(
        focus=_focus(centre),
        mean=round(float(grey.mean()), 1),
        dark_share=round(float((grey < DARK).mean()), 3),
        bright_share=round(float((grey > BRIGHT).mean()), 3),
        hazy=bool(low > HAZE_BLACK and high - low < HAZE_SPAN),
        soft_spots=tuple(_soft_spots(grey)),
        lean_deg=_lean_deg(grey),
    )


def bar(focus: float, best: float) -> str:
    """The score as a bar, and the best one so far as a mark."""
    filled, mark = (
        min(BAR_CHARS, round(score / FULL_SCORE * BAR_CHARS)) for score in (focus, best)
    )
    cells = ["#"] * filled + ["."] * (BAR_CHARS - filled)
    if mark:
        cells[mark - 1] = "|" if mark > filled else "#"
    return "".join(cells)


def small(luma: Plane, columns: int, rows: int) -> Plane:
    """The picture in `columns` x `rows` means."""
    height, width = luma.shape
    rows, columns = min(rows, height), min(columns, width)
    ys, xs = (np.arange(n) * size // n for n, size in ((rows, height), (columns, width)))
    sums = np.add.reduceat(np.add.reduceat(luma.astype(np.float32), ys, axis=0), xs, axis=1)
    counts = np.outer(np.diff([*ys, height]), np.diff([*xs, width]))
    means: Plane = (sums / counts).astype(np.uint8)
    return means


def characters(luma: Plane, columns: int, rows: int) -> list[str]:
    """The picture in characters; its darkest is a blank. A character is twice as high as wide."""
    height, width = luma.shape
    rows = max(1, min(rows, round(columns * height / width / 2)))
    columns = max(1, min(columns, round(rows * width / height * 2)))
    cells = small(luma, columns, rows).astype(np.float32)
    low, high = np.percentile(cells, (1, 99))
    span = max(8.0, float(high - low))
    steps = np.clip((cells - low) / span * len(RAMP), 0, len(RAMP) - 1).astype(int)
    return ["".join(RAMP[step] for step in row).rstrip() for row in steps]


def _halved(luma: Plane) -> Grey:
    """Half as wide and high, which takes most of a sensor's noise away; small ones stay."""
    if min(luma.shape) < 180:  # noqa: PLR2004 - a thumbnail
        return luma.astype(np.float32)
    height, width = (size - size % 2 for size in luma.shape)
    even: Grey = (
        luma[:height, :width]
        .reshape(height // 2, 2, width // 2, 2)
        .mean(axis=(1, 3), dtype=np.float32)
    )
    return even


def _smooth(grey: Grey, passes: int) -> Grey:
    """Each pixel with its neighbours, 1 2 1 both ways, so often: noise goes before edges do."""
    for _ in range(passes):
        if min(grey.shape) <= 3:  # noqa: PLR2004 - nothing would be left
            break
        across: Grey = (grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]).astype(np.float32)
        grey = ((across[:-2] + 2 * across[1:-1] + across[2:]) / 16).astype(np.float32)
    return grey


def _slopes(grey: Grey) -> tuple[Grey, Grey]:
    return grey[1:-1, 2:] - grey[1:-1, :-2], grey[2:, 1:-1] - grey[:-2, 1:-1]


def _focus(grey: Grey) -> float | None:
    variance = float(grey.var())
    if variance < FLAT_STD**2 or min(grey.shape) < LEAST_PX:
        return None
    across, down = _slopes(_smooth(grey, 1))
    energy = float((across**2 + down**2).mean())
    return round(FOCUS_SCALE * energy / variance, 1)


def _soft_spots(grey: Grey) -> Iterator[str]:
    """Where the picture has next to no edges: sky, water, or dirt on the glass."""
    if min(grey.shape) < LEAST_PX:
        return
    across, down = _slopes(_smooth(grey, 1))
    energy = across**2 + down**2
    rows, columns = len(_ROWS_OF_SPOTS), len(_COLUMNS_OF_SPOTS)
    height = energy.shape[0]
    blocks = [
        [
            float(_inner(energy[y * height // rows : (y + 1) * height // rows], x, columns).mean())
            for x in range(columns)
        ]
        for y in range(rows)
    ]
    usual = float(np.median(blocks))
    for y, row in enumerate(blocks):
        for x, block in enumerate(row):
            if block < usual * _SOFT:
                yield f"{_ROWS_OF_SPOTS[y]} {_COLUMNS_OF_SPOTS[x]}"


def _inner(band: Grey, x: int, columns: int) -> Grey:
    """The block `x` of a band without its rim: the edge of a blot is no detail."""
    width = band.shape[1]
    block = band[:, x * width // columns : (x + 1) * width // columns]
    rim_y, rim_x = block.shape[0] // 8, block.shape[1] // 8
    return block[rim_y : block.shape[0] - rim_y, rim_x : block.shape[1] - rim_x]


def _lean_deg(grey: Grey) -> float | None:
    """The angle at which most strong edges that are nearly upright stand."""
    if min(grey.shape) < LEAST_PX:
        return None
    across, down = _slopes(_smooth(grey, _LEVEL_PASSES))
    strength = np.hypot(across, down)
    flipped = np.where(across < 0, -1.0, 1.0)
    degrees = np.degrees(np.arctan2(down * flipped, across * flipped))
    upright = (np.abs(degrees) <= _LEVEL_WITHIN_DEG) & (
        strength > max(12.0, float(np.percentile(strength, 90)))
    )
    if int(upright.sum()) < _LEVEL_EDGES:
        return None
    edge_deg = _LEVEL_WITHIN_DEG + _LEVEL_BIN_DEG / 2
    counts, edges = np.histogram(
        degrees[upright],
        bins=round(2 * edge_deg / _LEVEL_BIN_DEG),
        range=(-edge_deg, edge_deg),
        weights=strength[upright],
    )
    smooth = np.convolve(counts, (0.25, 0.5, 0.25), mode="same")
    peak = int(np.argmax(smooth))
    if smooth[peak] < _LEVEL_SURE * smooth.mean():
        return None
    return round(float(edges[peak] + _LEVEL_BIN_DEG / 2), 1)

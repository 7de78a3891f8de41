"""Aim and focus of a camera from one picture, for the technician who adjusts it. Pure.

The focus is the strength of edges by the contrast of the picture, so it needs no reference. Blur
removes edges long before contrast, and light changes both alike.
"""

from collections.abc import Iterator
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.message import Message
from agent.base.picture_view import PictureView, judge_picture
from drivers.media import Plane

GreyImage = npt.NDArray[np.float32]
FocusBlocks: TypeAlias = tuple[float, ...]
"""The focus of parts of a picture: see `measure_focus_blocks`."""

MIN_SIZE_PX = 24
"""A smaller picture has too few edges to measure."""
VIEW_SIZE_PX = 320
"""The view is judged by a picture as large as that of the motion gate."""
MIN_CONTRAST_STD = 3.0
"""Standard deviation, in steps of 255, below which there is nothing to focus on."""
HAZE_MIN_BLACK_LUMA, HAZE_MAX_SPAN_LUMA = 60, 90
FOCUS_GRID, MIN_BLOCK_PX = 6, 8
MIN_BLOCK_STD = 6.0
"""Standard deviation below which a block has no detail: bare asphalt has 3 to 5."""
FOCUS_SCALE = 75.0
FULL_SCALE_FOCUS = 70.0
BAR_CHARS = 40
ASCII_RAMP = " .:-=+*#%@"
_ROW_NAMES = ("top", "middle", "bottom")
_COLUMN_NAMES = ("left", "centre left", "centre right", "right")
_SOFT_EDGE_RATIO = 0.05
_LEAN_MAX_DEG = 15.0
_LEAN_BIN_DEG = 0.5
_LEAN_SMOOTHING_PASSES = 6
_LEAN_MIN_PEAK_RATIO = 3.0
_LEAN_MIN_EDGE_PIXELS = 200


class LensAim(msgspec.Struct, frozen=True, kw_only=True):
    """The measured aim. `focus` is 0 to about 70, or None if the picture is too flat; `focus_blocks` are compared with
    those of another picture of the same camera.

    `lean_deg` is the angle by which upright lines lean to the right, or None if there are too few.
    """

    focus: float | None
    focus_blocks: FocusBlocks
    view: PictureView
    hazy: bool
    soft_spots: tuple[str, ...]
    lean_deg: float | None

    @property
    def exposure(self) -> Message:
        """The exposure in a few words."""
        light = self.view.light
        match light.state:
            case "glare":
                return Message("too bright: {share:.0%} of it is white", share=light.white_share)
            case "dark":
                return Message("too dark: {share:.0%} of it is black", share=light.dark_share)
            case "low_light":
                return Message("too little light to see road users by")
        return Message("good")


def measure_aim(luma: Plane) -> LensAim:
    """Measure the aim by a picture."""
    grey = _half_resolution(luma)
    height, width = grey.shape
    centre = grey[height // 4 : height - height // 4, width // 4 : width - width // 4]
    low, high = np.percentile(grey, (2, 98))
    return LensAim(
        focus=_focus(centre),
        focus_blocks=measure_focus_blocks(luma),
        view=judge_picture(downscale_within(luma, VIEW_SIZE_PX, VIEW_SIZE_PX)),
        hazy=bool(low > HAZE_MIN_BLACK_LUMA and high - low < HAZE_MAX_SPAN_LUMA),
        soft_spots=tuple(_soft_spots(grey)),
        lean_deg=_lean_deg(grey),
    )


def measure_focus_blocks(luma: Plane) -> FocusBlocks:
    """Measure the focus of FOCUS_GRID x FOCUS_GRID blocks in the middle of a picture, 0 of one without detail.

    Each is Tenengrad by the block's variance, of the full resolution: half of it hides a blur of a
    pixel. The corners are left out, where many lenses are never sharp.
    """
    height, width = luma.shape
    grey = luma[height // 8 : height - height // 8, width // 8 : width - width // 8].astype(
        np.float32
    )
    if min(grey.shape) < FOCUS_GRID * MIN_BLOCK_PX:
        return ()
    grad_x, grad_y = _gradients(_smooth(grey, 1))
    energy = grad_x**2 + grad_y**2
    return tuple(
        round(float(edges.mean() / variance), 6)
        if (variance := float(pixels.var())) >= MIN_BLOCK_STD**2
        else 0.0
        for edges, pixels in zip(_iter_blocks(energy), _iter_blocks(grey), strict=True)
    )


def _iter_blocks(grey: GreyImage) -> Iterator[GreyImage]:
    for band in np.array_split(grey, FOCUS_GRID, axis=0):
        yield from np.array_split(band, FOCUS_GRID, axis=1)


def focus_bar(focus: float) -> str:
    """Return the focus as a bar."""
    filled_chars = min(BAR_CHARS, round(focus / FULL_SCALE_FOCUS * BAR_CHARS))
    return "#" * filled_chars + "." * (BAR_CHARS - filled_chars)


def downscale_within(luma: Plane, columns: int, rows: int) -> Plane:
    """Return the picture in its own shape, within `columns` x `rows` pixels."""
    height, width = luma.shape
    scale = min(columns / width, rows / height, 1.0)
    return downscale(luma, max(1, round(width * scale)), max(1, round(height * scale)))


def downscale(luma: Plane, columns: int, rows: int) -> Plane:
    """Return the picture in `columns` x `rows` means."""
    height, width = luma.shape
    rows, columns = min(rows, height), min(columns, width)
    row_starts, column_starts = (
        np.arange(n) * size // n for n, size in ((rows, height), (columns, width))
    )
    sums = np.add.reduceat(
        np.add.reduceat(luma.astype(np.float32), row_starts, axis=0), column_starts, axis=1
    )
    counts = np.outer(np.diff([*row_starts, height]), np.diff([*column_starts, width]))
    means: Plane = (sums / counts).astype(np.uint8)
    return means


def to_ascii(luma: Plane, columns: int, rows: int) -> list[str]:
    """Return the picture in characters, the darkest as a blank. A character is twice as high as wide."""
    height, width = luma.shape
    rows = max(1, min(rows, round(columns * height / width / 2)))
    columns = max(1, min(columns, round(rows * width / height * 2)))
    cells = downscale(luma, columns, rows).astype(np.float32)
    low, high = np.percentile(cells, (1, 99))
    span = max(8.0, float(high - low))
    levels = np.clip((cells - low) / span * len(ASCII_RAMP), 0, len(ASCII_RAMP) - 1).astype(int)
    return ["".join(ASCII_RAMP[level] for level in row).rstrip() for row in levels]


def _half_resolution(luma: Plane) -> GreyImage:
    """Halve a picture, which removes most of the sensor's noise; a small one is returned as it is."""
    if min(luma.shape) < 180:  # noqa: PLR2004 - a thumbnail
        return luma.astype(np.float32)
    height, width = (size - size % 2 for size in luma.shape)
    even: GreyImage = (
        luma[:height, :width]
        .reshape(height // 2, 2, width // 2, 2)
        .mean(axis=(1, 3), dtype=np.float32)
    )
    return even


def _smooth(grey: GreyImage, passes: int) -> GreyImage:
    """Average each pixel with its neighbours, 1 2 1 both ways: noise is removed before edges."""
    for _ in range(passes):
        if min(grey.shape) <= 3:  # noqa: PLR2004 - nothing would be left
            break
        horizontal: GreyImage = (grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]).astype(np.float32)
        grey = ((horizontal[:-2] + 2 * horizontal[1:-1] + horizontal[2:]) / 16).astype(np.float32)
    return grey


def _gradients(grey: GreyImage) -> tuple[GreyImage, GreyImage]:
    return grey[1:-1, 2:] - grey[1:-1, :-2], grey[2:, 1:-1] - grey[:-2, 1:-1]


def _focus(grey: GreyImage) -> float | None:
    variance = float(grey.var())
    if variance < MIN_CONTRAST_STD**2 or min(grey.shape) < MIN_SIZE_PX:
        return None
    grad_x, grad_y = _gradients(_smooth(grey, 1))
    energy = float((grad_x**2 + grad_y**2).mean())
    return round(FOCUS_SCALE * energy / variance, 1)


def _soft_spots(grey: GreyImage) -> Iterator[str]:
    """Yield the parts of the picture almost without edges: sky, water, or dirt on the glass."""
    if min(grey.shape) < MIN_SIZE_PX:
        return
    grad_x, grad_y = _gradients(_smooth(grey, 1))
    energy = grad_x**2 + grad_y**2
    rows, columns = len(_ROW_NAMES), len(_COLUMN_NAMES)
    height = energy.shape[0]
    blocks = [
        [
            float(
                _inner_block(
                    energy[y * height // rows : (y + 1) * height // rows], x, columns
                ).mean()
            )
            for x in range(columns)
        ]
        for y in range(rows)
    ]
    median_energy = float(np.median(blocks))
    for y, row in enumerate(blocks):
        for x, block in enumerate(row):
            if block < median_energy * _SOFT_EDGE_RATIO:
                yield f"{_ROW_NAMES[y]} {_COLUMN_NAMES[x]}"


def _inner_block(band: GreyImage, x: int, columns: int) -> GreyImage:
    """Return block `x` of a band without its rim: the edge of a blot is no detail."""
    width = band.shape[1]
    block = band[:, x * width // columns : (x + 1) * width // columns]
    rim_y, rim_x = block.shape[0] // 8, block.shape[1] // 8
    return block[rim_y : block.shape[0] - rim_y, rim_x : block.shape[1] - rim_x]


def _lean_deg(grey: GreyImage) -> float | None:
    """Return the angle of most strong edges that are nearly upright."""
    if min(grey.shape) < MIN_SIZE_PX:
        return None
    grad_x, grad_y = _gradients(_smooth(grey, _LEAN_SMOOTHING_PASSES))
    strength = np.hypot(grad_x, grad_y)
    sign = np.where(grad_x < 0, -1.0, 1.0)
    degrees = np.degrees(np.arctan2(grad_y * sign, grad_x * sign))
    upright = (np.abs(degrees) <= _LEAN_MAX_DEG) & (
        strength > max(12.0, float(np.percentile(strength, 90)))
    )
    if int(upright.sum()) < _LEAN_MIN_EDGE_PIXELS:
        return None
    range_deg = _LEAN_MAX_DEG + _LEAN_BIN_DEG / 2
    counts, edges = np.histogram(
        degrees[upright],
        bins=round(2 * range_deg / _LEAN_BIN_DEG),
        range=(-range_deg, range_deg),
        weights=strength[upright],
    )
    smoothed = np.convolve(counts, (0.25, 0.5, 0.25), mode="same")
    peak = int(np.argmax(smoothed))
    if smoothed[peak] < _LEAN_MIN_PEAK_RATIO * smoothed.mean():
        return None
    return round(float(edges[peak] + _LEAN_BIN_DEG / 2), 1)

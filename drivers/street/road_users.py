"""How cars and people look from the pole: solids and capsules, shaded by which way they face."""

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from drivers.street.view import Sighting
from drivers.street.world import Colour, Mover

Image = npt.NDArray[np.uint8]
Point = tuple[float, float, float]
_At = Callable[[float, float, float], Point]

_GLASS: Colour = (72, 62, 54)
_GLASS_LIGHT: Colour = (128, 116, 104)
_TYRE: Colour = (24, 24, 24)
_RIM: Colour = (140, 140, 142)
_DARK: Colour = (34, 34, 36)
_SHADOW = 0.5

# A saloon from the side, in shares of length (from the tail) and height, clockwise from the tail.
_PROFILE = (
    (0.00, 0.20),
    (0.00, 0.56),
    (0.05, 0.62),
    (0.16, 0.66),
    (0.28, 0.97),
    (0.36, 1.00),
    (0.56, 1.00),
    (0.62, 0.97),
    (0.76, 0.66),
    (0.95, 0.56),
    (1.00, 0.48),
    (1.00, 0.20),
)
_GLASS_EDGES = (3, 7)
_ROOF = ((_PROFILE[5], -1), (_PROFILE[5], 1), (_PROFILE[6], 1), (_PROFILE[6], -1))
_SIDE_WINDOWS = (
    ((0.22, 0.67), (0.31, 0.93), (0.44, 0.95), (0.44, 0.67)),
    ((0.47, 0.67), (0.47, 0.95), (0.57, 0.94), (0.69, 0.67)),
)
_WHEELS_AT = (0.19, 0.81)
_TAPER_M = 0.18


def draw_mover(image: Image, view: Sighting, mover: Mover) -> None:
    """Draw one road user in place, its shadow first. Invariant: it is ahead, at a `z_m` of 0 or
    more, or beside the camera.
    """
    if mover.label == "car":
        _shadow(image, view, mover, 1.08)
        _car(image, view, mover)
    else:
        _shadow(image, view, mover, 1.2)
        _person(image, view, mover)


def draw_lamps(image: Image, view: Sighting, mover: Mover) -> None:
    """Light the lamps of a car onto a dark picture: white ahead, red behind."""
    end_m = mover.z_m - mover.length_m / 2
    if mover.label != "car" or end_m <= 0:
        return
    towards = mover.heading < 0
    colour: Colour = (225, 245, 255) if towards else (40, 30, 220)
    for side in (-0.36, 0.36):
        x, y = view.pixel(mover.x_m + side * mover.width_m, 0.65, end_m)
        radius = max(1, round(view.scale_px(mover.x_m, end_m) * (0.16 if towards else 0.1)))
        _glow(image, (round(x), round(y)), radius, colour)


def _glow(image: Image, at: tuple[int, int], radius: int, colour: Colour) -> None:
    halo = 4 * radius
    left, top = max(0, at[0] - halo), max(0, at[1] - halo)
    patch = image[top : at[1] + halo, left : at[0] + halo]
    if patch.size == 0:
        return
    light = np.zeros_like(patch)
    centre = (at[0] - left, at[1] - top)
    cv2.circle(light, centre, 2 * radius, tuple(c // 3 for c in colour), -1, cv2.LINE_AA)
    cv2.circle(light, centre, radius, colour, -1, cv2.LINE_AA)
    size = 2 * radius + 1
    patch[:] = cv2.add(patch, cv2.GaussianBlur(light, (size, size), 0))


def _shadow(image: Image, view: Sighting, mover: Mover, grow: float) -> None:
    half_x, half_z = grow * mover.width_m / 2, grow * mover.length_m / 2
    lean = 0.2 * mover.height_m
    outline = [
        (mover.x_m - half_x, 0.0, mover.z_m - half_z),
        (mover.x_m + half_x + lean, 0.0, mover.z_m - half_z),
        (mover.x_m + half_x + lean, 0.0, mover.z_m + half_z),
        (mover.x_m - half_x, 0.0, mover.z_m + half_z),
    ]
    points = np.array([view.pixel(*corner) for corner in outline])
    height, width = image.shape[:2]
    margin = 2 + round(0.12 * view.scale_px(mover.x_m, mover.z_m))
    left, top = np.floor(points.min(0)).astype(int) - margin
    right, bottom = np.ceil(points.max(0)).astype(int) + margin
    left, top, right, bottom = max(0, left), max(0, top), max(0, right), max(0, bottom)
    patch = image[top : min(height, bottom), left : min(width, right)]
    if patch.size == 0:
        return
    mask = np.zeros(patch.shape[:2], np.uint8)
    shifted = np.round((points - (left, top)) * 16).astype(np.int32)
    cv2.fillPoly(mask, [shifted], 255, cv2.LINE_AA, 4)
    soft = 2 * max(0, round(0.12 * view.scale_px(mover.x_m, mover.z_m))) + 1
    mask = np.asarray(cv2.blur(mask, (soft, soft)), np.uint8)
    keep = 1.0 - (mask.astype(np.float32) / 255.0) * _SHADOW
    patch[:] = (patch * keep[..., None]).astype(np.uint8)


def _shade(colour: Colour, by: float) -> Colour:
    b, g, r = (max(0, min(255, round(channel * by))) for channel in colour)
    return b, g, r


def _fill(image: Image, view: Sighting, corners: Sequence[Point], colour: Colour) -> None:
    points = np.array([view.pixel(*corner) for corner in corners])
    cv2.fillPoly(image, [np.round(points * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)


def _turn(view: Sighting, corners: Sequence[Point]) -> bool:
    """Whether four corners go round clockwise in the picture."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = (view.pixel(*corner) for corner in corners)
    return (cx - ax) * (dy - by) > (cy - ay) * (dx - bx)


def _car(image: Image, view: Sighting, car: Mover) -> None:
    """A prism with the saloon's profile, the cabin narrower than the body; far faces first."""

    def at(along: float, up: float, side: float) -> Point:
        inset_m = _TAPER_M * max(0.0, (up - 0.66) / 0.34)
        half_m = car.width_m / 2 - inset_m
        z_m = car.z_m + car.heading * (along - 0.5) * car.length_m
        return car.x_m + side * half_m, up * car.height_m, z_m

    near_side = -1.0 if car.x_m > view.camera_x_m else 1.0
    _wheels(image, view, car, -near_side)
    roof = _turn(view, [at(*edge, side) for edge, side in _ROOF])
    panels: list[tuple[float, list[Point], Colour]] = []
    for index, (a, b) in enumerate(zip(_PROFILE, (*_PROFILE[1:], _PROFILE[0]), strict=True)):
        corners = [at(*a, -1), at(*a, 1), at(*b, 1), at(*b, -1)]
        if _turn(view, corners) != roof:
            continue  # it faces away, which the roof never does
        # Seen from above: an edge that faces up is lit, one at the end is in half-shade.
        run, rise = (b[0] - a[0]) * car.length_m, (b[1] - a[1]) * car.height_m
        lit = 0.62 + 0.5 * max(0.0, run) / max(0.01, math.hypot(run, rise))
        colour = _shade(car.colour, lit)
        if index in _GLASS_EDGES:
            colour = _GLASS
        panels.append((sum(p[2] for p in corners) / 4, corners, colour))
    for _, corners, colour in sorted(panels, key=lambda panel: -panel[0]):
        _fill(image, view, corners, colour)
    body = [at(along, up, near_side) for along, up in _PROFILE]
    _fill(image, view, body, _shade(car.colour, 0.8))
    for window in _SIDE_WINDOWS:
        _fill(image, view, [at(along, up, near_side) for along, up in window], _GLASS)
    if car.z_m - car.length_m / 2 > 0:
        # Where it stands beside the camera, both of its ends face away.
        _near_end(image, view, car, at)
    _wheels(image, view, car, near_side)


def _near_end(image: Image, view: Sighting, car: Mover, at: _At) -> None:
    """What the near end shows: glass with a reflection, lamps, plate, grille or boot."""
    towards = car.heading < 0
    end = 1.0 if towards else 0.0
    tops = ((0.76, 0.66), (0.62, 0.97)) if towards else ((0.16, 0.66), (0.28, 0.97))
    low, high = tops
    _fill(image, view, [at(*low, -0.93), at(*low, 0.93), at(*high, 0.9), at(*high, -0.9)], _GLASS)
    mid = ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2)
    _fill(
        image,
        view,
        [at(*mid, -0.6), at(*mid, 0.1), at(*high, 0.3), at(*high, -0.4)],
        _GLASS_LIGHT,
    )

    def panel(side0: float, side1: float, up0: float, up1: float, colour: Colour) -> None:
        _fill(
            image,
            view,
            [at(end, up0, side0), at(end, up0, side1), at(end, up1, side1), at(end, up1, side0)],
            colour,
        )

    for side in (-1.0, 0.72):
        panel(side, side + 0.28, 0.0, 0.24, _TYRE)
    panel(-0.97, 0.97, 0.12, 0.24, _DARK)
    for up, shine in ((0.48, 0.55), (0.53, 1.25)):
        panel(-1.0, 1.0, up, up + 0.015, _shade(car.colour, shine))
    lamp: Colour = (225, 240, 245) if towards else (40, 36, 190)
    panel(-0.95, -0.6, 0.36, 0.46, lamp)
    panel(0.6, 0.95, 0.36, 0.46, lamp)
    panel(-0.5, 0.5, 0.32, 0.44, _DARK if towards else _shade(car.colour, 0.5))
    panel(-0.28, 0.28, 0.25, 0.32, (225, 225, 225))


def _wheels(image: Image, view: Sighting, car: Mover, side: float) -> None:
    radius_m = 0.22 * car.height_m
    x_m = car.x_m + side * (car.width_m / 2 - 0.02)
    for along in _WHEELS_AT:
        z_m = car.z_m + car.heading * (along - 0.5) * car.length_m
        for share, colour in ((1.0, _TYRE), (0.55, _RIM)):
            circle = [
                (
                    x_m,
                    radius_m + share * radius_m * math.sin(angle),
                    z_m + share * radius_m * math.cos(angle),
                )
                for angle in np.linspace(0, 2 * math.pi, 14, endpoint=False)
            ]
            _fill(image, view, circle, colour)


def _person(image: Image, view: Sighting, person: Mover) -> None:
    """Legs that swing, torso, arms that swing against them, neck, head and hair; drawn flat."""
    scale = view.scale_px(person.x_m, person.z_m)
    feet_x, feet_y = view.pixel(person.x_m, 0.0, person.z_m)
    top_y = view.pixel(person.x_m, person.height_m, person.z_m)[1]
    unit = (feet_y - top_y) / person.height_m
    swing = math.sin(person.phase)
    stride_m = 0.34 if person.heading == 0 else 0.1

    def at(x_m: float, y_share: float) -> tuple[int, int]:
        y = feet_y - y_share * person.height_m * unit
        return round((feet_x + x_m * scale) * 16), round(y * 16)

    def limb(points: Sequence[tuple[int, int]], width_m: float, colour: Colour) -> None:
        thickness = max(1, round(width_m * scale))
        line = np.array(points, np.int32).reshape(-1, 1, 2)
        cv2.polylines(image, [line], False, colour, thickness, cv2.LINE_AA, 4)

    for side, forward in ((-1, swing), (1, -swing)):
        hip, foot_x = at(side * 0.08, 0.5), side * 0.09 + stride_m * forward
        lift = 0.03 * max(0.0, forward)
        knee = at(side * 0.09 + 0.6 * stride_m * forward, 0.27)
        shade = _shade(person.second_colour, 1.0 if side > 0 else 0.8)
        limb([hip, knee, at(foot_x, 0.04 + lift)], 0.15, shade)
        limb([at(foot_x - 0.03, 0.02 + lift), at(foot_x + 0.06, 0.02 + lift)], 0.09, _DARK)
    for side, forward in ((-1, -swing), (1, swing)):
        elbow = at(side * 0.25 + 0.4 * stride_m * forward, 0.62)
        hand = at(side * 0.25 + 0.8 * stride_m * forward, 0.48)
        limb([at(side * 0.2, 0.8), elbow, hand], 0.1, _shade(person.colour, 0.82))
        limb([hand, hand], 0.1, person.skin)
    torso = [at(-0.22, 0.82), at(0.22, 0.82), at(0.17, 0.48), at(-0.17, 0.48)]
    cv2.fillPoly(image, [np.array(torso, np.int32)], person.colour, cv2.LINE_AA, 4)
    lit = [at(0.02, 0.82), at(0.22, 0.82), at(0.17, 0.48), at(0.04, 0.48)]
    cv2.fillPoly(image, [np.array(lit, np.int32)], _shade(person.colour, 1.15), cv2.LINE_AA, 4)
    limb([at(0, 0.85), at(0, 0.87)], 0.1, _shade(person.skin, 0.85))
    head = at(0, 0.93)
    axes = (max(8, round(0.095 * scale * 16)), max(8, round(0.125 * unit * 16)))
    cv2.ellipse(image, head, axes, 0, 0, 360, person.skin, -1, cv2.LINE_AA, 4)
    face_away = person.heading > 0
    hair_from, hair_to = (0, 360) if face_away else (180, 360)
    cv2.ellipse(image, head, axes, 0, hair_from, hair_to, (38, 48, 60), -1, cv2.LINE_AA, 4)

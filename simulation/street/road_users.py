"""Drawing of cars and people: solids and capsules, shaded by their orientation."""

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from simulation.street.fixed_view import CameraProjection
from simulation.street.world import Colour, RoadUser

Image = npt.NDArray[np.uint8]
Point3 = tuple[float, float, float]
_ToWorld = Callable[[float, float, float], Point3]

_GLASS: Colour = (72, 62, 54)
_GLASS_LIGHT: Colour = (128, 116, 104)
_TYRE: Colour = (24, 24, 24)
_RIM: Colour = (140, 140, 142)
_DARK: Colour = (34, 34, 36)
_SHADOW_STRENGTH = 0.5

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
_WHEEL_POSITIONS = (0.19, 0.81)
_WHEEL_OUTLINE = tuple(
    (math.sin(angle), math.cos(angle)) for angle in np.linspace(0, 2 * math.pi, 14, endpoint=False)
)
"""A circle with a radius of 1, as height and length."""
_TAPER_M = 0.18


def draw_road_user(image: Image, view: CameraProjection, road_user: RoadUser) -> None:
    """Draw one road user into `image`, its shadow first.

    Invariant: it is ahead of the camera or level with it, at a `z_m` of 0 or more.
    """
    if road_user.label == "car":
        _draw_shadow(image, view, road_user, 1.08)
        _draw_car(image, view, road_user)
    else:
        _draw_shadow(image, view, road_user, 1.2)
        _draw_person(image, view, road_user)


def draw_car_lamps(image: Image, view: CameraProjection, road_user: RoadUser) -> None:
    """Draw the lamps of a car onto a dark picture: white ahead, red behind."""
    end_m = road_user.z_m - road_user.length_m / 2
    if road_user.label != "car" or end_m <= 0:
        return
    is_oncoming = road_user.heading < 0
    colour: Colour = (225, 245, 255) if is_oncoming else (40, 30, 220)
    for side in (-0.36, 0.36):
        x, y = view.pixel(road_user.x_m + side * road_user.width_m, 0.65, end_m)
        radius = max(1, round(view.scale_px(road_user.x_m, end_m) * (0.16 if is_oncoming else 0.1)))
        _draw_glow(image, (round(x), round(y)), radius, colour)


def _draw_glow(image: Image, at: tuple[int, int], radius: int, colour: Colour) -> None:
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


def _draw_shadow(image: Image, view: CameraProjection, road_user: RoadUser, scale: float) -> None:
    half_x, half_z = scale * road_user.width_m / 2, scale * road_user.length_m / 2
    lean_m = 0.2 * road_user.height_m
    outline = [
        (road_user.x_m - half_x, 0.0, road_user.z_m - half_z),
        (road_user.x_m + half_x + lean_m, 0.0, road_user.z_m - half_z),
        (road_user.x_m + half_x + lean_m, 0.0, road_user.z_m + half_z),
        (road_user.x_m - half_x, 0.0, road_user.z_m + half_z),
    ]
    points = np.array([view.pixel(*corner) for corner in outline])
    height, width = image.shape[:2]
    margin = 2 + round(0.12 * view.scale_px(road_user.x_m, road_user.z_m))
    left, top = np.floor(points.min(0)).astype(int) - margin
    right, bottom = np.ceil(points.max(0)).astype(int) + margin
    left, top, right, bottom = max(0, left), max(0, top), max(0, right), max(0, bottom)
    patch = image[top : min(height, bottom), left : min(width, right)]
    if patch.size == 0:
        return
    mask = np.zeros(patch.shape[:2], np.uint8)
    shifted = np.round((points - (left, top)) * 16).astype(np.int32)
    cv2.fillPoly(mask, [shifted], 255, cv2.LINE_AA, 4)
    blur_px = 2 * max(0, round(0.12 * view.scale_px(road_user.x_m, road_user.z_m))) + 1
    mask = np.asarray(cv2.blur(mask, (blur_px, blur_px)), np.uint8)
    keep = 1.0 - (mask.astype(np.float32) / 255.0) * _SHADOW_STRENGTH
    patch[:] = (patch * keep[..., None]).astype(np.uint8)


def _scale_colour(colour: Colour, factor: float) -> Colour:
    b, g, r = (max(0, min(255, round(channel * factor))) for channel in colour)
    return b, g, r


def fill_polygon(
    image: Image, view: CameraProjection, corners: Sequence[Point3], colour: Colour
) -> None:
    """Fill a polygon in the world with a colour."""
    points = np.array([view.pixel(*corner) for corner in corners])
    cv2.fillPoly(image, [np.round(points * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)


def _is_clockwise(view: CameraProjection, corners: Sequence[Point3]) -> bool:
    """Return whether four corners are clockwise in the picture."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = (view.pixel(*corner) for corner in corners)
    return (cx - ax) * (dy - by) > (cy - ay) * (dx - bx)


def _draw_car(image: Image, view: CameraProjection, car: RoadUser) -> None:
    """Draw a prism with the saloon's profile, the cabin narrower than the body; far faces first."""

    def to_world(along: float, up: float, side: float) -> Point3:
        inset_m = _TAPER_M * max(0.0, (up - 0.66) / 0.34)
        half_m = car.width_m / 2 - inset_m
        z_m = car.z_m + car.heading * (along - 0.5) * car.length_m
        return car.x_m + side * half_m, up * car.height_m, z_m

    near_side = -1.0 if car.x_m > view.camera_x_m else 1.0
    _draw_wheels(image, view, car, -near_side)
    roof_is_clockwise = _is_clockwise(view, [to_world(*edge, side) for edge, side in _ROOF])
    polygons: list[tuple[float, list[Point3], Colour]] = []
    for index, (a, b) in enumerate(zip(_PROFILE, (*_PROFILE[1:], _PROFILE[0]), strict=True)):
        corners = [to_world(*a, -1), to_world(*a, 1), to_world(*b, 1), to_world(*b, -1)]
        if _is_clockwise(view, corners) != roof_is_clockwise:
            continue  # it faces away, which the roof never does
        # Seen from above: an edge that faces up is lit, one at the end is in half-shade.
        run, rise = (b[0] - a[0]) * car.length_m, (b[1] - a[1]) * car.height_m
        brightness = 0.62 + 0.5 * max(0.0, run) / max(0.01, math.hypot(run, rise))
        colour = _scale_colour(car.colour, brightness)
        if index in _GLASS_EDGES:
            colour = _GLASS
        polygons.append((sum(p[2] for p in corners) / 4, corners, colour))
    for _, corners, colour in sorted(polygons, key=lambda panel: -panel[0]):
        fill_polygon(image, view, corners, colour)
    body = [to_world(along, up, near_side) for along, up in _PROFILE]
    fill_polygon(image, view, body, _scale_colour(car.colour, 0.8))
    for window in _SIDE_WINDOWS:
        fill_polygon(image, view, [to_world(along, up, near_side) for along, up in window], _GLASS)
    if car.z_m - car.length_m / 2 > 0:
        # If the car is level with the camera, both of its ends face away.
        _draw_near_end(image, view, car, to_world)
    _draw_wheels(image, view, car, near_side)


def _draw_near_end(image: Image, view: CameraProjection, car: RoadUser, to_world: _ToWorld) -> None:
    """Draw the near end of a car: glass with a reflection, lamps, plate, grille or boot."""
    is_oncoming = car.heading < 0
    end = 1.0 if is_oncoming else 0.0
    glass_edges = ((0.76, 0.66), (0.62, 0.97)) if is_oncoming else ((0.16, 0.66), (0.28, 0.97))
    low, high = glass_edges
    fill_polygon(
        image,
        view,
        [to_world(*low, -0.93), to_world(*low, 0.93), to_world(*high, 0.9), to_world(*high, -0.9)],
        _GLASS,
    )
    middle = ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2)
    fill_polygon(
        image,
        view,
        [
            to_world(*middle, -0.6),
            to_world(*middle, 0.1),
            to_world(*high, 0.3),
            to_world(*high, -0.4),
        ],
        _GLASS_LIGHT,
    )

    def panel(side0: float, side1: float, up0: float, up1: float, colour: Colour) -> None:
        fill_polygon(
            image,
            view,
            [
                to_world(end, up0, side0),
                to_world(end, up0, side1),
                to_world(end, up1, side1),
                to_world(end, up1, side0),
            ],
            colour,
        )

    for side in (-1.0, 0.72):
        panel(side, side + 0.28, 0.0, 0.24, _TYRE)
    panel(-0.97, 0.97, 0.12, 0.24, _DARK)
    for up, shine in ((0.48, 0.55), (0.53, 1.25)):
        panel(-1.0, 1.0, up, up + 0.015, _scale_colour(car.colour, shine))
    lamp: Colour = (225, 240, 245) if is_oncoming else (40, 36, 190)
    panel(-0.95, -0.6, 0.36, 0.46, lamp)
    panel(0.6, 0.95, 0.36, 0.46, lamp)
    panel(-0.5, 0.5, 0.32, 0.44, _DARK if is_oncoming else _scale_colour(car.colour, 0.5))
    panel(-0.28, 0.28, 0.25, 0.32, (225, 225, 225))


def _draw_wheels(image: Image, view: CameraProjection, car: RoadUser, side: float) -> None:
    radius_m = 0.22 * car.height_m
    x_m = car.x_m + side * (car.width_m / 2 - 0.02)
    for along in _WHEEL_POSITIONS:
        z_m = car.z_m + car.heading * (along - 0.5) * car.length_m
        for radius_fraction, colour in ((1.0, _TYRE), (0.55, _RIM)):
            circle = [
                (
                    x_m,
                    radius_m + radius_fraction * radius_m * up,
                    z_m + radius_fraction * radius_m * along_wheel,
                )
                for up, along_wheel in _WHEEL_OUTLINE
            ]
            fill_polygon(image, view, circle, colour)


def _draw_person(image: Image, view: CameraProjection, person: RoadUser) -> None:
    """Draw a person, flat: swinging legs, torso, arms in antiphase, neck, head and hair."""
    scale = view.scale_px(person.x_m, person.z_m)
    feet_x, feet_y = view.pixel(person.x_m, 0.0, person.z_m)
    top_y = view.pixel(person.x_m, person.height_m, person.z_m)[1]
    unit = (feet_y - top_y) / person.height_m
    swing = math.sin(person.phase)
    stride_m = 0.34 if person.heading == 0 else 0.1

    def to_pixel(x_m: float, y_share: float) -> tuple[int, int]:
        y = feet_y - y_share * person.height_m * unit
        return round((feet_x + x_m * scale) * 16), round(y * 16)

    def draw_limb(points: Sequence[tuple[int, int]], width_m: float, colour: Colour) -> None:
        thickness = max(1, round(width_m * scale))
        line = np.array(points, np.int32).reshape(-1, 1, 2)
        cv2.polylines(image, [line], False, colour, thickness, cv2.LINE_AA, 4)

    for side, forward in ((-1, swing), (1, -swing)):
        hip, foot_x = to_pixel(side * 0.08, 0.5), side * 0.09 + stride_m * forward
        lift = 0.03 * max(0.0, forward)
        knee = to_pixel(side * 0.09 + 0.6 * stride_m * forward, 0.27)
        shade = _scale_colour(person.second_colour, 1.0 if side > 0 else 0.8)
        draw_limb([hip, knee, to_pixel(foot_x, 0.04 + lift)], 0.15, shade)
        draw_limb(
            [to_pixel(foot_x - 0.03, 0.02 + lift), to_pixel(foot_x + 0.06, 0.02 + lift)],
            0.09,
            _DARK,
        )
    for side, forward in ((-1, -swing), (1, swing)):
        elbow = to_pixel(side * 0.25 + 0.4 * stride_m * forward, 0.62)
        hand = to_pixel(side * 0.25 + 0.8 * stride_m * forward, 0.48)
        draw_limb([to_pixel(side * 0.2, 0.8), elbow, hand], 0.1, _scale_colour(person.colour, 0.82))
        draw_limb([hand, hand], 0.1, person.skin)
    torso = [
        to_pixel(-0.22, 0.82),
        to_pixel(0.22, 0.82),
        to_pixel(0.17, 0.48),
        to_pixel(-0.17, 0.48),
    ]
    cv2.fillPoly(image, [np.array(torso, np.int32)], person.colour, cv2.LINE_AA, 4)
    lit = [to_pixel(0.02, 0.82), to_pixel(0.22, 0.82), to_pixel(0.17, 0.48), to_pixel(0.04, 0.48)]
    cv2.fillPoly(
        image, [np.array(lit, np.int32)], _scale_colour(person.colour, 1.15), cv2.LINE_AA, 4
    )
    draw_limb([to_pixel(0, 0.85), to_pixel(0, 0.87)], 0.1, _scale_colour(person.skin, 0.85))
    head = to_pixel(0, 0.93)
    axes = (max(8, round(0.095 * scale * 16)), max(8, round(0.125 * unit * 16)))
    cv2.ellipse(image, head, axes, 0, 0, 360, person.skin, -1, cv2.LINE_AA, 4)
    is_facing_away = person.heading > 0
    hair_from, hair_to = (0, 360) if is_facing_away else (180, 360)
    cv2.ellipse(image, head, axes, 0, hair_from, hair_to, (38, 48, 60), -1, cv2.LINE_AA, 4)

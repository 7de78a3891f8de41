"""The road users of the street at a given second. Pure: the same seed gives the same street.

Metres, with the foot of the camera's pole as origin: x to the right, y up, z along the street. Traffic
keeps right. A minute's timetable repeats with other colours: cars pass both ways, people walk on both
pavements, and some cross while no car does. One car stops at the kerb and leaves again, and one drives
away in the lane of the oncoming traffic.
"""

import math
import random
from typing import Literal

import msgspec

RoadUserLabel = Literal["car", "person"]
Activity = Literal["driving", "stopped", "wrong_way", "walking", "crossing", "standing"]

CYCLE_S = 60.0
NEAR_M, FAR_M = 4.0, 95.0
LANE_M = 1.9
KERB_LANE_M = 4.4
ROAD_HALF_M = 5.6
PAVEMENT_X_M = (6.4, 8.6)
CROSSING_Z_M = (15.0, 18.0)
CAR_SPEED_MPS = 9.0
STOP_Z_M = 27.0
PERSON_WIDTH_M = 0.55

_TOWARDS_S = (0.0, 5.0, 10.0, 25.5, 30.5)
_AWAY_S = (2.0, 7.0, 17.0, 33.0, 38.5, 46.0, 53.0)
_STOP_S, _LEAVE_S = 10.0, 42.5
_WRONG_WAY_S = 43.5
_WALKERS = 8
_CROSSERS_S = (20.5, 21.6, 22.2)

CAR_COLOURS_BGR = (
    (46, 42, 160),
    (150, 90, 40),
    (205, 205, 210),
    (70, 66, 62),
    (235, 235, 235),
    (60, 110, 60),
    (150, 150, 140),
)
CLOTHES_BGR = ((40, 40, 48), (120, 60, 40), (50, 50, 150), (90, 110, 60), (180, 170, 160))
TROUSERS_BGR = ((60, 50, 40), (35, 35, 38), (110, 80, 60))
SKIN_BGR = ((150, 180, 224), (110, 145, 198), (70, 95, 140))

Colour = tuple[int, int, int]


class RoadUser(msgspec.Struct, frozen=True, kw_only=True):
    """One road user at one instant.

    `heading` is +1 away from the camera, -1 towards it, and 0 across the street. `phase` is that of
    a person's step, in radians.
    """

    id: int
    label: RoadUserLabel
    activity: Activity
    x_m: float
    z_m: float
    heading: int
    length_m: float
    width_m: float
    height_m: float
    colour: Colour
    second_colour: Colour
    skin: Colour
    phase: float = 0.0


def road_users_at(seed: int, t_s: float) -> list[RoadUser]:
    """Return all road users on the street at `t_s` seconds, the farthest first."""
    found: list[RoadUser] = []
    current_cycle = int(t_s // CYCLE_S)
    for cycle in (current_cycle - 1, current_cycle):
        if cycle >= 0:
            found += _cycle_road_users(seed, cycle, t_s - cycle * CYCLE_S)
    return sorted(found, key=lambda mover: -mover.z_m)


def _cycle_road_users(seed: int, cycle: int, t_s: float) -> list[RoadUser]:
    rng = random.Random(f"{seed}/{cycle}")  # noqa: S311 - a street, not a secret
    first_id = cycle * 100
    found = []
    for index, start_s in enumerate(_TOWARDS_S):
        z_m = FAR_M - CAR_SPEED_MPS * (t_s - start_s)
        found.append(new_car(rng, first_id + index, -LANE_M, z_m, -1, "driving"))
    for index, start_s in enumerate(_AWAY_S):
        z_m = NEAR_M + CAR_SPEED_MPS * (t_s - start_s)
        found.append(new_car(rng, first_id + 10 + index, LANE_M, z_m, 1, "driving"))
    found.append(_stopping_car(rng, first_id + 20, t_s))
    z_m = NEAR_M + CAR_SPEED_MPS * (t_s - _WRONG_WAY_S)
    found.append(new_car(rng, first_id + 21, -LANE_M, z_m, 1, "wrong_way"))
    found += [_walker(rng, first_id + 30 + index, t_s) for index in range(_WALKERS)]
    for index, start_s in enumerate(_CROSSERS_S):
        found.append(_crosser(rng, first_id + 50 + index, t_s - start_s, index))
    return [road_user for road_user in found if NEAR_M <= road_user.z_m <= FAR_M]


def new_car(
    rng: random.Random, user_id: int, x_m: float, z_m: float, heading: int, activity: Activity
) -> RoadUser:
    """Return a car with a size and a colour of `rng`, near the middle of a lane."""
    colour = rng.choice(CAR_COLOURS_BGR)
    return RoadUser(
        id=user_id,
        label="car",
        activity=activity,
        x_m=x_m + rng.uniform(-0.2, 0.2),
        z_m=z_m,
        heading=heading,
        length_m=rng.uniform(4.1, 4.7),
        width_m=1.8,
        height_m=rng.uniform(1.42, 1.6),
        colour=colour,
        second_colour=colour,
        skin=colour,
    )


def _stopping_car(rng: random.Random, user_id: int, t_s: float) -> RoadUser:
    """Return the car that brakes evenly while it moves to the kerb, stops, and leaves again."""
    brake_s = 2 * 12.0 / CAR_SPEED_MPS
    cruise_m = STOP_Z_M - 12.0 - NEAR_M
    since_s = t_s - _STOP_S
    braking_s = since_s - cruise_m / CAR_SPEED_MPS
    leaving_s = t_s - _LEAVE_S
    activity: Activity = "driving"
    if leaving_s > 0:
        fraction = min(1.0, leaving_s / brake_s)
        z_m = STOP_Z_M + 12.0 * fraction**2 + CAR_SPEED_MPS * max(0.0, leaving_s - brake_s)
        fraction = 1.0 - fraction
    elif braking_s > 0:
        fraction = min(1.0, braking_s / brake_s)
        z_m = STOP_Z_M - 12.0 * (1.0 - fraction) ** 2
        activity = "stopped" if fraction >= 1.0 else "driving"
    else:
        fraction = 0.0
        z_m = NEAR_M + CAR_SPEED_MPS * since_s
    eased = fraction * fraction * (3 - 2 * fraction)
    return new_car(rng, user_id, LANE_M + (KERB_LANE_M - LANE_M) * eased, z_m, 1, activity)


def _walker(rng: random.Random, user_id: int, t_s: float) -> RoadUser:
    speed_mps = rng.uniform(1.1, 1.6)
    start_s = rng.uniform(-15.0, 45.0)
    heading = rng.choice((-1, 1))
    side = rng.choice((-1, 1))
    x_m = side * rng.uniform(*PAVEMENT_X_M)
    walked_m = speed_mps * (t_s - start_s)
    is_outside = t_s < start_s or t_s < 0
    z_m = 7.0 + walked_m if heading > 0 else 52.0 - walked_m
    is_outside = is_outside or not 7.0 <= z_m <= 52.0  # noqa: PLR2004 - the ends of the pavement walkers' way
    return new_person(
        rng, user_id, (x_m, -1.0 if is_outside else z_m), heading, "walking", speed_mps * t_s
    )


def _crosser(rng: random.Random, user_id: int, t_s: float, index: int) -> RoadUser:
    speed_mps = rng.uniform(1.25, 1.5)
    side = -1 if index % 2 else 1
    walked_m = speed_mps * t_s
    x_m = side * (PAVEMENT_X_M[1] - walked_m)
    is_outside = t_s < 0 or walked_m > 2 * PAVEMENT_X_M[1]
    z_m = CROSSING_Z_M[0] + 0.6 + 0.8 * index
    activity: Activity = "crossing" if abs(x_m) < ROAD_HALF_M else "walking"
    return new_person(rng, user_id, (x_m, -1.0 if is_outside else z_m), 0, activity, walked_m, 0.8)


def new_person(
    rng: random.Random,
    user_id: int,
    at_m: tuple[float, float],
    heading: int,
    activity: Activity,
    walked_m: float,
    width_m: float = PERSON_WIDTH_M,
) -> RoadUser:
    """Return a person with a size and colours of `rng`, who has walked so far."""
    height_m = rng.uniform(1.6, 1.88)
    return RoadUser(
        id=user_id,
        label="person",
        activity=activity,
        x_m=at_m[0],
        z_m=at_m[1],
        heading=heading,
        length_m=0.5,
        width_m=width_m,
        height_m=height_m,
        colour=rng.choice(CLOTHES_BGR),
        second_colour=rng.choice(TROUSERS_BGR),
        skin=rng.choice(SKIN_BGR),
        phase=2 * math.pi * walked_m / 1.5,
    )

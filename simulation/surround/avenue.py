"""The road users of the avenue at a given second: a street that extends both ways from a pole. Pure.

Metres, as in `simulation.street.world`: x to the right, z along the street, the pole at z 0.
Traffic keeps right at one speed; people walk on the left pavement and on the square at the right, and
some stand. A minute's timetable repeats with other colours and other people.
"""

import math
import random

from simulation.street.world import CYCLE_S, LANE_M, RoadUser, new_car, new_person

END_M = 95.0
SPEED_MPS = 9.0
LEFT_PAVEMENT_X_M = (-8.6, -6.4)
SQUARE_X_M = (9.0, 14.0)

_AWAY_S = (0.0, 4.5, 15.0, 27.0, 31.0, 44.0, 52.5)
_TOWARDS_S = (2.0, 11.0, 20.0, 24.5, 38.0, 47.0, 56.0)
_WALKERS = 9
_STANDING, _STANDING_ID = 3, 90
_WALK_HALF_M = 50.0
_MAX_CYCLES = 2
"""A slow pedestrian is still there two minutes later."""


def road_users_at(seed: int, t_s: float) -> list[RoadUser]:
    """Return all road users on the avenue at `t_s` seconds.

    Those of the minutes before 0 are among them, so that the street is never empty.
    """
    now = math.floor(t_s / CYCLE_S)
    found = _standing_people(seed)
    for cycle in range(now - _MAX_CYCLES, now + 1):
        found += _cycle_road_users(seed, cycle, t_s - cycle * CYCLE_S)
    return found


def _cycle_road_users(seed: int, cycle: int, t_s: float) -> list[RoadUser]:
    rng = random.Random(f"avenue/{seed}/{cycle}")  # noqa: S311 - a street, not a secret
    first_id = (cycle + _MAX_CYCLES) * 100
    found = []
    for index, start_s in enumerate(_AWAY_S + _TOWARDS_S):
        heading = 1 if index < len(_AWAY_S) else -1
        z_m = heading * (SPEED_MPS * (t_s - start_s) - END_M)
        car = new_car(rng, first_id + index, heading * LANE_M, z_m, heading, "driving")
        if abs(z_m) <= END_M:
            found.append(car)
    for index in range(_WALKERS):
        walker, is_present = _walker(rng, first_id + 40 + index, t_s, index / _WALKERS)
        if is_present:
            found.append(walker)
    return found


def _standing_people(seed: int) -> list[RoadUser]:
    rng = random.Random(f"square/{seed}")  # noqa: S311 - a street, not a secret
    positions = [(rng.uniform(*SQUARE_X_M), rng.uniform(-25, 25)) for _ in range(_STANDING)]
    return [
        new_person(rng, _STANDING_ID + index, at, 0, "standing", 0.0)
        for index, at in enumerate(positions)
    ]


def _walker(
    rng: random.Random, user_id: int, t_s: float, cycle_fraction: float
) -> tuple[RoadUser, bool]:
    speed_mps = rng.uniform(1.1, 1.6)
    heading = rng.choice((-1, 1))
    x_m = rng.uniform(*rng.choice((LEFT_PAVEMENT_X_M, SQUARE_X_M)))
    walked_m = speed_mps * (t_s - cycle_fraction * CYCLE_S)
    z_m = heading * (walked_m - _WALK_HALF_M)
    person = new_person(rng, user_id, (x_m, z_m), heading, "walking", walked_m)
    return person, 0 <= walked_m <= 2 * _WALK_HALF_M

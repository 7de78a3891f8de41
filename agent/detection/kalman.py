"""Place and speed along one axis: a constant velocity Kalman filter. Pure."""

POSITION_NOISE = 0.07
"""Deviation of a detected centre, in sizes of the object."""

_ACCELERATION = 2.0
"""Deviation of the acceleration, in sizes a second per second."""

_FIRST_SPEED = 3.0
"""Deviation of the speed of what was seen once, in sizes a second."""

_STEER_GAIN, _STEER_NOISE = 0.3, 0.03
"""How far one drift turns the speed, and its deviation in sizes of the object."""


class KalmanAxis:
    """Place and speed along one axis, with their covariance."""

    __slots__ = ("at", "from00", "p00", "p01", "p11", "speed")

    def __init__(self, at: float, size: float) -> None:
        self.at, self.speed = at, 0.0
        self.p00 = self.from00 = (POSITION_NOISE * size) ** 2
        self.p01 = 0.0
        self.p11 = (_FIRST_SPEED * size) ** 2

    def predict(self, dt_s: float, size: float) -> None:
        """Move on by a time; white acceleration of the object's own scale."""
        self.from00 = self.p00
        self.at += self.speed * dt_s
        q = (_ACCELERATION * size) ** 2 * dt_s
        self.p00 += dt_s * (2 * self.p01 + dt_s * self.p11) + q * dt_s * dt_s / 3
        self.p01 += dt_s * self.p11 + q * dt_s / 2
        self.p11 += q

    def steer(self, was: float, way: float, dt_s: float, size: float) -> None:
        """Stand where the picture says that it went, instead of where it was predicted."""
        self.at = was + way
        self.speed += _STEER_GAIN * (way / dt_s - self.speed)
        steered = min(self.p00, self.from00 + (_STEER_NOISE * size) ** 2)
        self.p01 *= steered / self.p00
        self.p00 = steered

    def correct(self, seen: float, noise: float) -> None:
        """Take in a measured place of a given deviation."""
        gain = 1.0 / (self.p00 + noise * noise)
        k0, k1 = self.p00 * gain, self.p01 * gain
        error = seen - self.at
        self.at += k0 * error
        self.speed += k1 * error
        self.p11 -= k1 * self.p01
        self.p01 *= 1.0 - k0
        self.p00 *= 1.0 - k0

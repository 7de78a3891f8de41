"""Constant velocity Kalman filter along one axis. Pure."""

POSITION_NOISE = 0.07
"""Standard deviation of a detected centre, in sizes of the object."""

_ACCELERATION_NOISE = 2.0
"""Standard deviation of the acceleration, in sizes per second squared."""

_INITIAL_VELOCITY_STD = 3.0
"""Standard deviation of the velocity after one detection, in sizes a second."""

_FLOW_GAIN, _FLOW_NOISE = 0.3, 0.03
"""Gain of the velocity from one flow shift, and the shift's standard deviation in sizes."""


class KalmanAxis:
    """Position and velocity along one axis, with their covariance."""

    __slots__ = ("p00", "p01", "p11", "position", "prior_p00", "velocity")

    def __init__(self, position: float, size: float) -> None:
        self.position, self.velocity = position, 0.0
        self.p00 = self.prior_p00 = (POSITION_NOISE * size) ** 2
        self.p01 = 0.0
        self.p11 = (_INITIAL_VELOCITY_STD * size) ** 2

    def predict(self, dt_s: float, size: float) -> None:
        """Predict the state after `dt_s`, with white acceleration noise scaled by `size`."""
        self.prior_p00 = self.p00
        self.position += self.velocity * dt_s
        q = (_ACCELERATION_NOISE * size) ** 2 * dt_s
        self.p00 += dt_s * (2 * self.p01 + dt_s * self.p11) + q * dt_s * dt_s / 3
        self.p01 += dt_s * self.p11 + q * dt_s / 2
        self.p11 += q

    def apply_flow(self, previous: float, displacement: float, dt_s: float, size: float) -> None:
        """Replace the predicted position by the one that optical flow measured."""
        self.position = previous + displacement
        self.velocity += _FLOW_GAIN * (displacement / dt_s - self.velocity)
        flow_p00 = min(self.p00, self.prior_p00 + (_FLOW_NOISE * size) ** 2)
        self.p01 *= flow_p00 / self.p00
        self.p00 = flow_p00

    def correct(self, measured: float, noise: float) -> None:
        """Correct by a measured position with standard deviation `noise`."""
        gain = 1.0 / (self.p00 + noise * noise)
        k0, k1 = self.p00 * gain, self.p01 * gain
        residual = measured - self.position
        self.position += k0 * residual
        self.velocity += k1 * residual
        self.p11 -= k1 * self.p01
        self.p01 *= 1.0 - k0
        self.p00 *= 1.0 - k0

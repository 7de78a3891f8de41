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

    __slots__ = ("p00", "p01", "p11", "position", "velocity")

    def __init__(self, position: float, size: float) -> None:
        self.position, self.velocity = position, 0.0
        self.p00 = (POSITION_NOISE * size) ** 2
        self.p01 = 0.0
        self.p11 = (_INITIAL_VELOCITY_STD * size) ** 2

    def predict(self, dt_s: float, size: float, displacement: float | None = None) -> None:
        """Predict the state after `dt_s`, with white acceleration noise scaled by `size`.

        A `displacement` that optical flow measured in that time, which is then above 0, replaces the velocity's.
        """
        p00, p01, p11 = self.p00, self.p01, self.p11
        acceleration_noise = _ACCELERATION_NOISE * size
        q = acceleration_noise * acceleration_noise * dt_s
        drift, q_dt = dt_s * p11, q * dt_s
        predicted_p00 = p00 + (dt_s * (2 * p01 + drift) + q_dt * dt_s / 3)
        self.p01 = p01 + (drift + q_dt / 2)
        self.p11 = p11 + q
        if displacement is None:
            self.position += self.velocity * dt_s
            self.p00 = predicted_p00
            return
        self.position += displacement
        self.velocity += _FLOW_GAIN * (displacement / dt_s - self.velocity)
        flow_noise = _FLOW_NOISE * size
        self.p00 = min(predicted_p00, p00 + flow_noise * flow_noise)
        self.p01 *= self.p00 / predicted_p00

    def correct(self, measured: float, noise: float) -> None:
        """Correct by a measured position with standard deviation `noise`."""
        p00, p01 = self.p00, self.p01
        gain = 1.0 / (p00 + noise * noise)
        k0, k1 = p00 * gain, p01 * gain
        residual = measured - self.position
        self.position += k0 * residual
        self.velocity += k1 * residual
        self.p11 -= k1 * p01
        self.p01 = p01 * (1.0 - k0)
        self.p00 = p00 * (1.0 - k0)

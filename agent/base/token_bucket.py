"""A bound on the rate of requests. Pure."""


class TokenBucket:
    """Allows `burst` requests at once, and `per_s` in each second after that."""

    def __init__(self, per_s: float, burst: float, now_ns: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = burst
        self._refilled_ns = now_ns

    def take(self, now_ns: int) -> float:
        """Count a request and return 0, or return the seconds until the next one is allowed."""
        elapsed_s = max(0, now_ns - self._refilled_ns) / 1e9
        self._tokens = min(self._burst, self._tokens + elapsed_s * self._per_s)
        self._refilled_ns = now_ns
        if self._tokens < 1:
            return (1 - self._tokens) / self._per_s
        self._tokens -= 1
        return 0.0

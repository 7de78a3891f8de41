"""How fast a head may be going, by what its driver told it. Pure.

A place is read at some time between a question and its answer, and a head that moves has moved on
meanwhile: its driver says the place as of the question, and counts that way to the error.
"""

from drivers.media import NS_PER_S

MAX_ORDERS = 16


class CommandedSpeed:
    """The speeds that one head was told, of its faster axis in degrees a second. Its owner locks.

    `settles_s` is the longest from a word until the head does what it says, ramp included.
    """

    def __init__(self, settle_s: float) -> None:
        self._settle_ns = int(settle_s * NS_PER_S)
        self._orders: list[tuple[float, int | None]] = []

    def begin_order(self, deg_s: float) -> None:
        """It is about to be told, and may hear it at any time from now on."""
        self._orders.append((deg_s, None))

    def confirm_order(self, deg_s: float, t_ns: int) -> None:
        """It has been told; what it was told before is over."""
        previous = [
            (speed, t_ns if over_ns is None else over_ns) for speed, over_ns in self._orders
        ]
        self._orders = [*previous[-MAX_ORDERS:], (deg_s, None)]

    def max_speed_deg_s(self, since_ns: int) -> float:
        """The fastest that it may have gone from then on."""
        return max(
            (
                speed
                for speed, over_ns in self._orders
                if over_ns is None or over_ns + self._settle_ns >= since_ns
            ),
            default=0.0,
        )


def position_error_deg(
    at_rest_deg: float, max_speed_deg_s: float, query_ns: int, reply_ns: int
) -> float:
    """How far a place may be off, as of the question, that a moving head tells."""
    return min(at_rest_deg + max_speed_deg_s * (reply_ns - query_ns) / NS_PER_S, 180.0)

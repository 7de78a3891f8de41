"""The speed that a head may have, by the orders that its driver sent. Pure.

A position is measured at some time between a query and its answer, and a moving head moves on
meanwhile: its driver reports the position as of the query, and adds that way to the error.
"""

from drivers.media import NS_PER_S

MAX_ORDERS = 16


class CommandedSpeed:
    """The speeds that were ordered of one head, of its faster axis. Not thread-safe.

    `settle_s` is the longest time from an order until the head follows it, ramp included.
    """

    def __init__(self, settle_s: float) -> None:
        self._settle_ns = int(settle_s * NS_PER_S)
        self._orders: list[tuple[float, int | None]] = []

    def begin_order(self, deg_s: float) -> None:
        """Note an order that is about to be sent, and may take effect from now on."""
        self._orders.append((deg_s, None))

    def confirm_order(self, deg_s: float, t_ns: int) -> None:
        """Note that an order was sent; it supersedes those before."""
        previous = [
            (speed, t_ns if over_ns is None else over_ns) for speed, over_ns in self._orders
        ]
        self._orders = [*previous[-MAX_ORDERS:], (deg_s, None)]

    def max_speed_deg_s(self, since_ns: int) -> float:
        """Return the highest speed that the head may have had since."""
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
    """Return the error, as of the query, of a position that a moving head reported."""
    return min(at_rest_deg + max_speed_deg_s * (reply_ns - query_ns) / NS_PER_S, 180.0)

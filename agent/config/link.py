"""`[link]` of the configuration: the hosts that footage may be sent to, and the budget of the link."""

from typing import Annotated

import msgspec

Host = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9:][A-Za-z0-9.:-]{0,252}$(?!\n)",
        extra={"allowed": "a name or an address, without a port"},
    ),
]


class LinkConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[link]`: the link, as far as footage, live pictures and models use it.

    They are sent to `upload_hosts` only, whatever address a command names. `ca` has the authorities of
    these hosts, by default the system's. `bytes_per_day` counts from midnight UTC, in
    both directions. A `metered` link has
    clips of the small forms only, except for an incident, and no detection model of more than its `bytes_per_day`.
    """

    upload_hosts: Annotated[tuple[Host, ...], msgspec.Meta(max_length=8)] = ()
    ca: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    rate_kbit_s: Annotated[int, msgspec.Meta(ge=16, le=1_000_000)] | None = None
    bytes_per_day: Annotated[int, msgspec.Meta(ge=1_000_000)] | None = None
    metered: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError if the fields contradict each other."""
        if self.metered and self.bytes_per_day is None:
            raise ValueError("metered = true: needs bytes_per_day")

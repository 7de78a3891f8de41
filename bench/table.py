"""One row of the table that `make bench` prints."""

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number beside what it aims at."""

    name: str
    value: float
    unit: str
    target: str
    note: str = ""

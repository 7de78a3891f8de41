"""`[time]` of a settings file, and the configuration of chronyd rendered from it. Pure.

Time servers are those of the settings and no others: DHCP, router advertisements and DNS on a port that a stranger
can reach would otherwise choose the time that is signed into receipts.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated

import msgspec

from agent.provisioning.network_config import UpToFour, parse_address

CONFIG_FILE = "chrony.conf"
CA_FILE = "ca.pem"
SOURCE_FILE = "source"
RUNTIME_DIR = "run/vigie-time"
STATE_DIR = "/var/lib/chrony"
MIN_STEP_S = 0.5
MAX_SLEW_PPM = 500

_HOST_PATTERN = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)


class TimeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[time]`. With `nts` the servers authenticate themselves (RFC 8915), by a certificate of `ca`, a file of
    [files], or of a public authority.
    """

    servers: Annotated[tuple[str, ...], UpToFour] = ()
    nts: bool = False
    ca: str | None = None


def iter_time_problems(time: TimeConfig, source: str) -> Iterator[str]:
    """Yield a line for each invalid server, and for each conflict between keys."""
    for index, server in enumerate(time.servers):
        if parse_address(server) is None and not _HOST_PATTERN.fullmatch(server):
            yield (
                f"{source}: time.servers[{index}] = {server!r}: not a server; allowed: a name such as "
                "ntp.example.org, or an address"
            )
    if time.nts and not time.servers:
        yield f"{source}: time.nts = true: there is no server; allowed: with time.servers"
    if time.ca is not None and not time.nts:
        yield f"{source}: time.ca = {time.ca!r}: only NTS has certificates; allowed: with time.nts = true"


def render_files(time: TimeConfig, ca: str | None) -> Mapping[str, str]:
    """Return the files of RUNTIME_DIR by name: none without servers, since chronyd does not run then.

    SOURCE_FILE becomes `source` of the clock in messages and receipts. `ca` is the text of the file `time.ca`.
    """
    if not time.servers:
        return {}
    files = {SOURCE_FILE: f"{'nts' if time.nts else 'ntp'}\n"}
    if ca is not None:
        files[CA_FILE] = ca
    return {**files, CONFIG_FILE: _render_chrony_config(time)}


def _render_chrony_config(time: TimeConfig) -> str:
    lines = ["# By vigie provision, from [time] of vigie-settings.toml. See docs/settings.md."]
    lines += [f"server {server} iburst{' nts' if time.nts else ''}" for server in time.servers]
    if time.nts:
        lines += [
            "authselectmode require",
            # Until the first update: a board without a battery starts at a time at which no certificate is valid.
            "nocerttimecheck 1",
            f"ntsdumpdir {STATE_DIR}",
        ]
    if time.ca is not None:
        lines += ["nosystemcert", f"ntstrustedcerts /{RUNTIME_DIR}/{CA_FILE}"]
    lines += [
        f"driftfile {STATE_DIR}/drift",
        # Without it chronyd does not tell the kernel that the clock is synchronised, nor its error bound.
        "rtcsync",
        # A large offset is stepped, which the agent reports, at any time. A small one is slewed slowly: boot time,
        # by which the agent acts and orders, is slewed with it.
        f"makestep {MIN_STEP_S:g} -1",
        f"maxslewrate {MAX_SLEW_PPM}",
        # A client only: no port, and no socket for commands.
        "port 0",
        "cmdport 0",
        "bindcmdaddress /",
    ]
    return "\n".join(lines) + "\n"

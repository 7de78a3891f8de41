"""Allow the agent, its children and the console only the addresses that they are configured for.

`python -m agent.provisioning.network_filter CONFIG`, as root: vigie-network-filter.service runs it after each start of
the agent. It writes drop-ins with `IPAddressDeny=any` for systemd. A peer that is configured by its name may have
any address, and another one tomorrow: there is no filter then, since a box that cannot be reached is worse.
"""

import argparse
import ipaddress
import logging
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.base.errors import UserError
from agent.config import configuration
from agent.config.configuration import Config

log = logging.getLogger(__name__)

UNITS = (
    "vigie-agent.service",
    "vigie-child@.service",
    "vigie-console@.service",
    "vigie-selftest.service",
)
"""Not vigie-fetch@.service: a feed names the servers of its bundles."""
UNIT_DIR = Path("run/systemd/system")
DROP_IN = "50-network-filter.conf"
RELOAD_COMMAND = ("/usr/bin/systemctl", "daemon-reload")
RELOAD_TIMEOUT_S = 60.0
_TEMPLATE = """# By vigie-network-filter.service, from the configuration.
[Service]
IPAddressDeny=any
IPAddressAllow=localhost {addresses}
"""


def find_peers(config: Config) -> frozenset[str]:
    """Return the hosts of the brokers, the EST server, the cameras, the heads and for footage, without the box itself.

    Pure.
    """
    urls = list(config.broker.urls)
    if config.renewal is not None:
        urls.append(config.renewal.url)
    for camera in config.camera:
        urls += _iter_urls(camera.options)
        urls += _iter_urls(camera.detect_options or {})
        urls += [camera.onvif.url] if camera.onvif else []
    for head in config.head:
        urls += _iter_urls(head.options)
    hosts = {_host_of(url) for url in urls} | set(config.link.upload_hosts)
    return frozenset(hosts) - {"localhost"}


def render_drop_in(peers: frozenset[str]) -> str | None:
    """Return the drop-in that allows these peers, or None if one of them is a name. Pure."""
    try:
        addresses = sorted({_parse_address(peer) for peer in peers})
    except ValueError:
        return None
    return _TEMPLATE.format(addresses=" ".join(addresses))


def write_drop_ins(root: Path, text: str | None) -> bool:
    """Write the drop-in of each unit, or remove it if there is none; return whether one changed."""
    changes = [_replace(root / UNIT_DIR / f"{unit}.d" / DROP_IN, text) for unit in UNITS]
    return any(changes)


def _iter_urls(options: Mapping[str, Any]) -> Iterator[str]:
    for value in options.values():
        if isinstance(value, str) and "://" in value:
            yield value


def _host_of(url: str) -> str:
    """Return the host, or an empty one, which counts as a name: the URL may have a password."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _parse_address(peer: str) -> str:
    """Return an address as systemd reads it, without the zone. Raises ValueError if it is a name."""
    return str(ipaddress.ip_address(peer.partition("%")[0]))


def _replace(path: Path, text: str | None) -> bool:
    try:
        current = path.read_text(encoding="ascii")
    except FileNotFoundError:
        current = None
    if current == text:
        return False
    if text is None:
        path.unlink()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
        # systemd warns of one that only root can read.
        path.chmod(0o644)
    return True


def main(arguments: list[str] | None = None) -> int:
    """Write the drop-ins, and have systemd read them if they have changed."""
    parser = argparse.ArgumentParser(prog="network_filter", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    parser.add_argument("config", type=Path)
    args = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        if _update(args.root, args.config):
            subprocess.run(RELOAD_COMMAND, check=True, timeout=RELOAD_TIMEOUT_S)  # noqa: S603 - fixed words
    except (OSError, UserError, subprocess.SubprocessError) as error:
        log.error("%s", error)
        return 1
    return 0


def _update(root: Path, config: Path) -> bool:
    peers = find_peers(configuration.load(config))
    text = render_drop_in(peers)
    if not write_drop_ins(root, text):
        return False
    listed = ", ".join(sorted(peers))
    log.info("no filter, a peer is a name: %s" if text is None else "only these: %s", listed)
    return True


if __name__ == "__main__":
    sys.exit(main())

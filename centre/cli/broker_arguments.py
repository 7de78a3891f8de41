"""The broker, as arguments of the centre's commands, or of the person's settings."""

import argparse
import os
from pathlib import Path

from agent.base.errors import UserError
from agent.base.secret_file import read_secret_text
from agent.config.broker import BrokerConfig, check_broker
from centre.operator_settings import BrokerSettings, find_settings_file, load_settings

DEFAULT_TEXT = "default: that of ~/.config/vigie/centre.toml"


def add_broker(parser: argparse.ArgumentParser) -> None:
    """Add the broker's URL, and the files of a connection by TLS."""
    parser.add_argument(
        "--broker",
        metavar="URL",
        help=f"mqtt://HOST[:1883] or mqtts://HOST[:8883] ({DEFAULT_TEXT})",
    )
    parser.add_argument("--ca", metavar="FILE", help="the CA of the broker's certificate, PEM")
    parser.add_argument("--certificate", metavar="FILE", help="the client certificate, PEM")
    parser.add_argument("--key", metavar="FILE", help="the key of the client certificate, PEM")


def parse_broker(args: argparse.Namespace, command: str) -> BrokerConfig:
    """Return the broker. A plain `--broker mqtt://` leaves out the TLS files of the settings.

    Raises: UserError if none is given, if arguments or settings contradict each other, or if others may read the key.
    """
    file = find_settings_file(os.environ)
    settings = load_settings(file).broker
    url: str | None = args.broker or (None if settings is None else settings.url)
    if url is None:
        raise UserError(
            f"{command}: --broker: missing; allowed: --broker URL, or [broker] in {file}"
        )
    if settings is None or url.startswith("mqtt://"):
        settings = BrokerSettings(url=url)
    certificate, key = args.certificate, args.key
    if certificate is None and key is None:
        certificate, key = settings.certificate, settings.key
    broker = BrokerConfig(
        url=url,
        ca=args.ca or settings.ca,
        certificate=certificate,
        key=key,
        insecure=True,  # typed by the person who sees it
    )
    check_broker(broker, command)
    if broker.key is not None:
        read_secret_text(Path(broker.key))
    return broker

"""The broker, as arguments of the centre's commands."""

import argparse

from agent.config.broker import BrokerConfig, check_broker


def add_broker(parser: argparse.ArgumentParser) -> None:
    """Add the broker's URL, and the files of a connection by TLS."""
    parser.add_argument(
        "--broker",
        metavar="URL",
        required=True,
        help="mqtt://HOST[:1883] or mqtts://HOST[:8883]",
    )
    parser.add_argument("--ca", metavar="FILE", help="the CA of the broker's certificate, PEM")
    parser.add_argument("--certificate", metavar="FILE", help="the client certificate, PEM")
    parser.add_argument("--key", metavar="FILE", help="the key of the client certificate, PEM")


def parse_broker(args: argparse.Namespace, command: str) -> BrokerConfig:
    """Return the broker. Raises: UserError if the arguments contradict each other."""
    broker = BrokerConfig(
        url=args.broker,
        ca=args.ca,
        certificate=args.certificate,
        key=args.key,
        insecure=True,  # typed by the person who sees it
    )
    check_broker(broker, command)
    return broker

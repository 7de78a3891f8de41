"""Arguments that several commands share."""

import argparse
from pathlib import Path


def add_config(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the configuration of a box."""
    parser.add_argument(
        "--config", metavar="FILE", type=Path, required=required, help="the configuration, TOML"
    )


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add the output for machines."""
    parser.add_argument("--json", action="store_true", help="one line of JSON, for machines")


def add_public_key(parser: argparse.ArgumentParser) -> None:
    """Add the key that the centre knows a box by."""
    parser.add_argument(
        "--public-key", metavar="KEY", help="the box's key as the centre knows it, base64"
    )

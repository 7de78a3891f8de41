"""The command `vigie`: runs one command, and prints a user's error as one line."""

import argparse
import os
import sys
from collections.abc import Sequence

from agent import __version__, cli
from agent.base.errors import UserError
from drivers.errors import DriverError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Return 0 if it succeeded, 1 if it failed, 2 if an argument is wrong."""
    try:
        args = _parse_args(sys.argv[1:] if argv is None else list(argv))
        return int(args.run(args))
    except UserError as error:
        print(f"vigie: {error}", file=sys.stderr)
        return 2
    except DriverError as error:
        print(f"vigie: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has closed the pipe, as `head` does. Nothing more can be written to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="vigie",
        description="The agent of a camera box on a street pole.",
        epilog="Start with: vigie demo" if cli.has_centre() else None,
    )
    parser.add_argument("--version", action="version", version=f"vigie {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    cli.add_parsers(commands, argv[0] if argv else None)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

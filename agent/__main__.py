"""`vigie`: finds the command, runs it, and turns a person's mistake into one line."""

import argparse
import os
import sys
from collections.abc import Sequence

from agent import __version__, cli
from agent.base.errors import UserError
from drivers.errors import DriverError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. 0: done; 1: it failed; 2: what was given is wrong."""
    parser = argparse.ArgumentParser(
        prog="vigie",
        description="The agent of a camera box on a street pole.",
        epilog="Begin with: vigie demo",
    )
    parser.add_argument("--version", action="version", version=f"vigie {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    given = sys.argv[1:] if argv is None else list(argv)
    cli.add_parsers(commands, given[0] if given else None)
    args = parser.parse_args(given)
    try:
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
        # The reader of our output has gone, as `| head` does; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())

"""Act server of the page at the pole: `python -P -m agent.console.act_server --config FILE --socket PATH`.

The console starts it, as the user of the agent: it has the keys of the box, which the page's web process has not, and
the technician's name of the console's login, on the first line of its input. It prints `ready` once it listens, and
ends with its input, so that no act is done after the logout.
"""

import argparse
import logging
import os
import sys
import threading
from pathlib import Path

from agent.base.clock import Clock, SystemClock, boot_id
from agent.base.errors import UserError
from agent.base.json_decode import MalformedJson, decode_json
from agent.config import console_settings
from agent.config.names import TECHNICIAN_NAME_PATTERN
from agent.console.act_listener import ActListener, Lanes
from agent.console.act_server_process import ActServerStart
from agent.console.acts.act import PAGE_VIEW_PURPOSE, ActState
from agent.console.acts.updates import remove_unused_uploads
from agent.console.context import ConsoleContext

log = logging.getLogger(__name__)

MAX_LINE_BYTES = 1024
CLOSE_INTERVAL_S = 2.0
"""Between two looks for live views that are not used any more."""


def read_start(line: bytes) -> ActServerStart:
    """Decode the first line of the input: the technician who has logged in at the console. Raises UserError."""
    try:
        start = decode_json(line, ActServerStart)
    except MalformedJson as error:
        raise UserError(f"first line: {error}") from error
    if not TECHNICIAN_NAME_PATTERN.fullmatch(start.technician):
        raise UserError(f"technician {start.technician!r}: allowed: the name of a login")
    return start


def serve(config: Path, socket_path: Path, root: Path, start: ActServerStart, clock: Clock) -> None:
    """Serve acts until the input ends. Raises UserError if the socket cannot be made."""
    state = ActState(clock, start.language, PAGE_VIEW_PURPOSE)

    def make_context() -> ConsoleContext:
        context = ConsoleContext(console_settings.read(config), clock, boot_id(), root=root)
        context.technician = start.technician
        context.session_language = start.language
        context.best_focus = state.best_focus
        return context

    remove_unused_uploads(make_context())
    lanes = Lanes(config, make_context)
    try:
        listener = ActListener(socket_path, lanes, state, clock.boottime_ns)
    except OSError as error:
        raise UserError(f"{socket_path}: {error.strerror or error}") from error
    ended = threading.Event()
    serving = threading.Thread(target=listener.run, name="acts", daemon=True)
    serving.start()
    threading.Thread(
        target=_close_idle_views, args=(lanes, state, ended), name="live views", daemon=True
    ).start()
    _say("ready")
    # It has no more to say: its end is that of the console's session.
    while sys.stdin.buffer.read(MAX_LINE_BYTES):
        pass
    ended.set()
    listener.end()
    serving.join()
    # One that is still written is gone with this process.
    remove_unused_uploads(make_context())
    with lanes.hold("picture"):
        state.live.close()


def _close_idle_views(lanes: Lanes, state: ActState, ended: threading.Event) -> None:
    while not ended.wait(CLOSE_INTERVAL_S):
        with lanes.hold("picture"):
            state.live.close_idle()


def _say(line: str) -> None:
    """Print a line for the console, which waits for it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Serve acts; exit code 1, with one line, if that is not possible."""
    parser = argparse.ArgumentParser(prog="act_server", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        start = read_start(sys.stdin.buffer.readline(MAX_LINE_BYTES))
        serve(args.config, args.socket, args.root, start, SystemClock())
    except UserError as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    # Without waiting for threads: an act that hangs must not outlive the session.
    os._exit(main())

"""The thread of commands that read the archive: a head's commands do not wait for the disk."""

from collections.abc import Callable

import msgspec

from agent.commands.command import CommandProgressSink, Deferred
from agent.commands.requester import CommandRejected
from agent.runtime.worker import Worker

MAX_QUEUED = 8
TIMEOUT_S = 120.0
"""A chain of half a million receipts is read in a few seconds, on a slow card in up to a minute."""


class FootageWorker:
    """Runs one command after the other. `stage` is its thread's."""

    def __init__(self) -> None:
        self.stage: Worker[Callable[[], None]] = Worker("footage", lambda job: job(), MAX_QUEUED)

    def run(
        self, work: Callable[[], msgspec.Struct], progress_sink: CommandProgressSink
    ) -> Deferred:
        """Queue `work`, which returns the result or raises CommandRejected.

        Raises: CommandRejected if too many commands wait.
        """

        def finish() -> None:
            result = work()
            progress_sink.finish(lambda: result)

        self.start(finish, progress_sink)
        return Deferred(timeout_s=TIMEOUT_S)

    def start(self, work: Callable[[], None], progress_sink: CommandProgressSink) -> None:
        """Queue `work`, after which the command continues elsewhere, or which raises CommandRejected.

        Raises: CommandRejected if too many commands wait.
        """

        def job() -> None:
            try:
                work()
            except CommandRejected as error:
                rejection = error
                progress_sink.finish(lambda: _raise(rejection))

        if not self.stage.put(job):
            raise CommandRejected("busy", f"{MAX_QUEUED} commands about footage wait already")


def _raise(rejection: CommandRejected) -> msgspec.Struct:
    raise rejection

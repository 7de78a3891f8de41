"""The fault codes that the agent's own code raises while a test runs.

`@pytest.mark.raises_fault("CAM-02")` declares that a test makes the agent raise that code. It is
checked after each such test: one that passes without it fails. tests/parts/test_fault_registry.py requires that
every code of the table has such a test. Only calls from the agent's own modules count, so that a test
cannot raise a fault itself.
"""

import contextlib
import functools
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import agent
from agent.base.message import Message
from agent.faults.registry import FaultCode, FaultRegistry

AGENT_FOLDER = Path(agent.__file__).parent


class RaisedFaultRecorder:
    """Looks at every fault board of this process, from `begin` to the next `begin`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._codes: set[str] = set()

    def reset(self) -> None:
        """A test begins."""
        with self._lock:
            self._codes.clear()

    def raised_codes(self) -> set[str]:
        """The codes that the agent has raised since then."""
        with self._lock:
            return set(self._codes)

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Wrap `FaultRegistry.raise_fault`."""
        original = FaultRegistry.raise_fault

        @functools.wraps(original)
        def raise_fault(
            registry: FaultRegistry, code: FaultCode, subject: str, detail: Message | Exception
        ) -> None:
            original(registry, code, subject, detail)
            if AGENT_FOLDER in Path(sys._getframe(1).f_code.co_filename).parents:
                with self._lock:
                    self._codes.add(code)

        FaultRegistry.raise_fault = raise_fault  # type: ignore[method-assign]
        try:
            yield
        finally:
            FaultRegistry.raise_fault = original  # type: ignore[method-assign]

"""The pure parts of the editor's views, run in Node."""

from typing import Any

from tests.scene_editor.node_runner import NodeScript


def run_views(*jobs: dict[str, Any]) -> list[Any]:
    """Run each job, `{"do": ...}`, and return its answer."""
    with NodeScript("views.mjs") as script:
        return [script.ask(job) for job in jobs]

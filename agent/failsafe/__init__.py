"""The process beside the agent that stops what moves when the agent dies."""

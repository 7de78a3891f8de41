"""The guard: a process next to the agent that stops motion and outputs if the agent dies."""

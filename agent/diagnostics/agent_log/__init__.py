"""The agent's log by time and level, without secrets: the command `log`."""

"""Commands of the centre, in the same form as those of `agent.cli`."""

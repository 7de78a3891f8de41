"""Foundations: shared structs, clock, ids, durable files, sockets. No other package of the agent."""

"""Commands: parsed, dispatched to their handlers, and answered once."""

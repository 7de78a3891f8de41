"""Everything that leaves the box: the outbox, the wire contract, the MQTT session."""

"""The MQTT session: one connection at a time, from the outbox to the broker."""

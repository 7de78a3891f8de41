"""Reporting: messages of the box, kept in the outbox and sent to the centre over MQTT."""

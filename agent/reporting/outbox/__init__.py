"""The outbox: messages on the disk until the centre has acknowledged them."""

"""Renewal of the box's certificate over the network, by EST (RFC 7030)."""

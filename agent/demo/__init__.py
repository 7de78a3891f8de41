"""The demo: a street clip through the complete agent, with both ends of the wire on one machine."""

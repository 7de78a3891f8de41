"""The demo: a street clip, or a head on a pole, through the complete agent, with both ends of the wire on one machine."""

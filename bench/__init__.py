"""Benches: the cost and the accuracy of the agent, next to bare libraries and its peers."""

"""The bench: what the agent costs and how well it does, beside bare libraries and its peers."""

"""One file per device. Drivers know the media types and the contracts, and nothing of the agent."""

"""The agent: pipelines, actuators, health reports and stages built from a configuration."""

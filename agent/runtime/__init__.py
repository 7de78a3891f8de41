"""Stages and their threads, queues between them, the supervisor, systemd notifications."""

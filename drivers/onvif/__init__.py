"""Cameras that speak ONVIF: a client, discovery, adoption, and their events."""

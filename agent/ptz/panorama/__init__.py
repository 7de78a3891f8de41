"""Stitch the images of a sweep into a panorama."""

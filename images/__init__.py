"""The operating system of a box: how its image and its update bundles are built. See README.md."""

"""Build of a box's operating system: images and update bundles. See README.md."""

"""Flashing: write an image and the settings of a box to a card, and read it back."""

"""The first boot: a settings file on the card becomes a box with an identity. `vigie provision`."""

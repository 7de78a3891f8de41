"""The configuration of a box: TOML files decoded into frozen structs, unknown keys rejected."""

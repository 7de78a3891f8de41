"""The machine's own health, each second: how much it can bear, what is said of it, what is remembered."""

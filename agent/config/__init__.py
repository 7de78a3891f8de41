"""What a person wrote for a box, into frozen structs: unknown keys and wrong values are named."""

"""The formats of the vendors."""

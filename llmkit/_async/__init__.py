"""The drivers: the only code that waits."""

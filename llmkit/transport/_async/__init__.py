"""The transport over httpx, for event loops."""

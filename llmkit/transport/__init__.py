"""Bytes in and out: the connections, over httpx and aiohttp, and an exchange under its clocks."""

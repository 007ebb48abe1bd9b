"""Bytes in and out: the connections, our own and those of httpx and aiohttp, and an exchange under its clocks."""

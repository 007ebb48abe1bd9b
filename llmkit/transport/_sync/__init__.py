# Generated from llmkit/transport/_async/__init__.py. Do not edit.
"""The transport over httpx, for event loops."""

# Generated from llmkit/relay/_async/__init__.py. Do not edit.
"""The door as a request goes through it; `_sync` is generated from this."""

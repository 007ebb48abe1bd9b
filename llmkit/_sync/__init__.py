# Generated from llmkit/_async/__init__.py. Do not edit.
"""The drivers: the only code that waits."""

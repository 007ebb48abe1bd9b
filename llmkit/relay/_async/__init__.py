"""The door as a request goes through it; `_sync` is generated from this."""

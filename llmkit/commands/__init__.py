"""What can be done from a command line: the same for `llmkit`, for `manage.py` and for `flask`."""

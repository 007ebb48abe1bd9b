"""The cache: answers that were given before, and where they are kept."""

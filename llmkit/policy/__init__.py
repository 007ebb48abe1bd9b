"""What to do next: decisions, pure, with time and chance passed in."""

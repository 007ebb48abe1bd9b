"""What the browser gets: framework-free."""

"""The waits of threads and of event loops, and what bounds them."""

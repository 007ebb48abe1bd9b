"""HTTP/1.1 without a network: how requests are written, and what has come of answers."""

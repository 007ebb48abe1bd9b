"""How each vendor says it: wire formats, pure, without I/O."""

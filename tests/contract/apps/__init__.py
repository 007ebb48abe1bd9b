"""The same small app under each framework, with the middleware that its users have."""

"""Typed answers: what an answer has to be, and what is made of it."""

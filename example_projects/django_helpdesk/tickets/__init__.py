"""Tickets, and the answers to them."""

"""The helpdesk."""

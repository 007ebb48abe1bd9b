"""Redis, for what several processes share: clients, scripts, and an end to every wait."""

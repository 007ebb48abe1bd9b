"""What each vendor accepts, and what it says to the rest."""

"""How an answer is said to a browser: one dialect for each kind of front end."""

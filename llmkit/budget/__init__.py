"""Where budgets are kept: what is used and what is held, in each window of each account."""

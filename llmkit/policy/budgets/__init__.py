"""Budgets, decided: which accounts a call is charged to, when their windows begin, and whether there is room in all of them."""

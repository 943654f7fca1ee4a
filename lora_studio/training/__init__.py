"""A training run: its stages, its budget, what it is judged by and what it leaves."""

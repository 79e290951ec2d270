"""Readers of scores, a module a format; `read.read_scores` chooses among them."""

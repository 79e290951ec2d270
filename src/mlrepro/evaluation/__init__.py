"""Scores of trained weights, what they are worth, and the record of it."""

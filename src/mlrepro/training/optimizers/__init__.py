"""Optimisers and learning-rate schedules, a module each; a run imports its own alone."""

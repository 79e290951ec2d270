"""Metrics on numpy arrays, without torch; `catalogue` lists them.

Everywhere scores (N, C) are float32 or float64, logits or probabilities, and labels (N, C) are
1 positive, 0 negative, -1 ignored: an ignored entry is left out of its class as if the picture had
not been shown to it. Data in which -1 means negative must be mapped by the caller.
"""

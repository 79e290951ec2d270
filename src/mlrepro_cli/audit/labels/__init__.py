"""Readers of labels, a module a format; `read.read_labels` chooses among them."""

"""`mlrepro export`: a trained run as a model folder of its own."""

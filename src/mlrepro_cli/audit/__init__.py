"""`mlrepro audit`: scores in, every protocol out. Its numbers are made by `mlrepro.audit`."""

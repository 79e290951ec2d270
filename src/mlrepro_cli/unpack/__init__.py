"""`mlrepro unpack`: pictures that are within Parquet, as files with a table of their labels."""

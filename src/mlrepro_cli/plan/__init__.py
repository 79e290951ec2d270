"""`mlrepro plan`: what a study would train and fetch, and how long it would take."""

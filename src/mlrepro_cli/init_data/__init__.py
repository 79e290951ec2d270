"""`mlrepro init-data`: from a user's own pictures and labels to settings that compare methods."""

"""Files from elsewhere: requests to a server, one file from several mirrors, and many pictures."""

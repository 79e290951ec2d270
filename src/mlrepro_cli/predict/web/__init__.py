"""`mlrepro predict --serve`: a page on this machine on which one drops pictures and sees labels."""

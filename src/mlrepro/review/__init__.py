"""Labels that are likely wrong: missing on a picture, or given to it though they are not there."""

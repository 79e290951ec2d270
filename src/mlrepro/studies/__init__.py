"""What a source document prints, says and claims, joined with our records of its runs. No torch."""

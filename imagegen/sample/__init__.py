"""Seeds in, pictures out."""

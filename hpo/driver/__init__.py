"""The driver of one sweep: what it hands out, what it decides, and what it keeps in mind."""

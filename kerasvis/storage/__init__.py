"""What is kept in files: fingerprints by which it is known again."""

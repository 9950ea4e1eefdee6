"""What is kept in files: written atomically, read without pickle, known by fingerprints."""

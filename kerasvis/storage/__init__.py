"""Files: written atomically, read without pickle, identified by fingerprints."""

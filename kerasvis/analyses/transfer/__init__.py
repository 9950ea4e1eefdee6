"""Sections 5.2 and 5.3: how far features carry to other data."""

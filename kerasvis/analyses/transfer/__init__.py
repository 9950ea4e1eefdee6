"""Sections 5.2 and 5.3: how well features transfer to other data."""

"""Images that drive a unit most, found by gradient ascent."""

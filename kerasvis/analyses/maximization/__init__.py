"""Images that maximise an activation, found by gradient ascent."""

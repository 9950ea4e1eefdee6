"""Training sets: images with the numbers of their classes."""

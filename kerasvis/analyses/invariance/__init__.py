"""arXiv Figure 5: what moving, scaling and turning an image does to its features."""

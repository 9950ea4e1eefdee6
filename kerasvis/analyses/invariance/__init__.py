"""Figure 5 of arXiv v3: how translating, scaling and rotating an image changes its features."""

"""Figure 5: what is wrong with the first layers of a convnet."""

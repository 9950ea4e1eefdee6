"""Figure 4: how features evolve during training, and when they converge."""

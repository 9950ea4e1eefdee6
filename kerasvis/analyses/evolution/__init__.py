"""Figure 4: how features evolve in training, and when they are done."""

"""Section 5.1: how much each layer contributes."""

"""Figure 6: how the answer changes when a part of the image is occluded."""

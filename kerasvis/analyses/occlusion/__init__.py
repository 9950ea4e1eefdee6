"""Figure 6: how the model's output changes when a part of the image is occluded."""

"""SmoothGrad: the gradient, averaged over noisy copies of the image."""

import numpy as np
import tqdm

from kerasvis.attributions.activation_gradient import ActivationGradient
from kerasvis.attributions.made_once import made_once


def smoothgrad(
    model,
    layer,
    images,
    target,
    *,
    batch_size=None,
    verbose=0,
    num_samples=50,
    noise_level=0.15,
    seed=0,
):
    """The mean derivative of the activation over copies of the image with Gaussian noise.

    Every image gets the same noise up to its scale, so that its map does not depend on the other
    images. `Strongest` refers to the unit that is strongest without noise.

    Args:
        model, layer, images, target, batch_size: see `attribute`.
        verbose: whether a progress bar is shown.
        num_samples: number of noisy copies of each image.
        noise_level: standard deviation of the noise, as a fraction of the image's range of values.
        seed: seed of the noise.

    Returns:
        float32 array of the shape of `images`.

    Raises:
        ValueError: if `num_samples` is not positive, or the noise level is negative.

    Reference:
        Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise", Section 3: 10% to 20%
        noise, 50 samples.
    """
    if num_samples < 1 or not noise_level >= 0:
        raise ValueError(
            "Give num_samples, 1 or more, and noise_level, 0 or more. Received: "
            f"num_samples={num_samples!r}, noise_level={noise_level!r}"
        )
    derivatives = made_once(ActivationGradient, model, layer)
    images = derivatives.check_images(images).astype("float32")
    target = derivatives.fixed(images, target, batch_size)
    deviations = noise_level * np.ptp(images, axis=(1, 2, 3), keepdims=True)
    rng = np.random.default_rng(seed)
    total = np.zeros(images.shape)
    for _ in tqdm.trange(num_samples, desc="SmoothGrad", disable=not verbose):
        noise = rng.standard_normal(images.shape[1:], "float32")
        noisy = images + deviations * noise
        total += derivatives.derive(noisy, target, batch_size)["gradient"]
    return (total / num_samples).astype("float32")

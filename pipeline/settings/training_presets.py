"""Named presets: what an experiment gets for the keys that its entry leaves out.

The class defaults of `Experiment` are the preset `demo`; each entry below lists only what
differs from it.  An entry's own keys always win.
"""

from __future__ import annotations

from typing import Any

# Wu et al. 2016 (arXiv 1610.07584), sections 3.1-3.3: networks at full width, no convolution
# bias, batch norm, one adversarial step each batch, D only while its accuracy is at most 80 %.
_PAPER: dict[str, Any] = {
    "encoder": "paper",
    "encoder_width": 1.0,
    "width": 1.0,
    "latent": 200,
    "occupancy_bias": False,
    "spectral_norm": False,
    "discriminator_norm": True,
    "adversarial": "bce",
    "adversarial_weight": 1.0,
    "adversarial_every": 1,
    "discriminator_gate": 0.8,
    "reconstruction": "l2",
    "reconstruction_weight": 1e-4,
    "kl_weight": 5.0,
    "batch": 100,
    "beta1": 0.5,
    "beta2": 0.999,
    "learning_rate_encoder": 1e-3,
    "learning_rate_generator": 2.5e-3,
    "learning_rate_discriminator": 1e-5,
    "schedule": "constant",
    "ema": 0.0,
    "mirror": False,
}

_R1: dict[str, Any] = {
    **_PAPER,
    "encoder": "none",
    "width": 0.25,
    "batch": 16,
    "occupancy_bias": True,
    "discriminator_norm": False,
    "discriminator_gate": 1.0,
    "discriminator_init": "he",
    "minibatch_deviation": True,
    "r1_gamma": 1.0,
    "r1_every": 4,
    "reconstruction_weight": 0.0,
    "kl_weight": 0.0,
    "beta1": 0.0,
    "beta2": 0.99,
    "learning_rate_generator": 1e-3,
    "learning_rate_discriminator": 1e-3,
    "schedule": "cosine",
    "ema": 0.99,
    "standing_statistics": True,
    "mirror": True,
}

PRESETS: dict[str, dict[str, Any]] = {
    # Balanced at 32^3 for two CPU cores, all networks from scratch: see docs/training.md.
    "demo": {},
    # The same networks and losses, begun warm (Girdhar et al. 2016): what `make demo` trains.
    "warm-start": {
        "samples": 132_000,
        "warm_start": {"autoencode": 0.2439, "encode": 0.6061},
        "encoder": "deep",
        "adversarial_every": 8,
        "learning_rate_encoder": 1e-3,
        "mirror_answers": True,
        "validate_every": 20_000,
        "checkpoint_every": 20_000,
    },
    # Faithful.  At 32^3 the KL weight makes the posterior collapse within a few hundred steps;
    # the collapse alarm says so while it trains.
    "paper-3dvaegan": _PAPER,
    # Section 3.2: no encoder, z i.i.d. uniform in [0, 1].
    "paper-3dgan": {**_PAPER, "encoder": "none", "prior": "uniform", "reconstruction_weight": 0.0, "kl_weight": 0.0},
    # The same for short trainings: D 20 times as fast, a normal prior, averaged weights.  Batch norm in D is what
    # keeps samples apart (docs/results.md: with spectral norm and hinge instead they become one shape).
    "balanced-3dgan": {
        **_PAPER,
        "encoder": "none",
        "width": 0.25,
        "batch": 16,
        "occupancy_bias": True,
        "reconstruction_weight": 0.0,
        "kl_weight": 0.0,
        "learning_rate_generator": 1e-3,
        "learning_rate_discriminator": 2e-4,
        "ema": 0.98,
        "mirror": True,
    },
    # No norm in D, which could not see how occupied its input is, but the R1 penalty (Mescheder et al. 2018) that keeps
    # it smooth where the data are; D learns in every step, as fast as G.
    "r1-3dgan": _R1,
    # The same, told the category of every shape.
    "conditional-3dgan": {**_R1, "condition": "category"},
    # Several views a shape, each encoded and sampled, then pooled into one z.
    "mv-3dvaegan-max": {"views_per_shape": 4, "pooling": "max"},
    "mv-3dvaegan-mean": {"views_per_shape": 4, "pooling": "mean"},
    # Spectral normalisation (Miyato et al. 2018) and the hinge loss in every step.
    "sn-hinge": {"adversarial_every": 1, "adversarial": "hinge", "spectral_norm": True},
    # The encoder sees the three axis projections of the voxels instead of a picture.
    "three-projections": {"encoder_input": "projections"},
    # The re-implementations' small networks: kernel 2 upwards, kernel 3 without padding downwards.
    "small": {"networks": "small"},
    # The networks that Som Tambe's 3D-GAN prints, at 32^3: G 2,197,888 and D 4,649,024 numbers, batch norm in every
    # layer of D, codes from N(0, 0.33).  What it does not print (rates, betas, gate) is the paper's.
    "somtambe": {
        **_PAPER,
        "networks": "small",
        "width": 2.0,
        "discriminator_first_norm": True,
        "encoder": "none",
        "prior": "narrow",
        "reconstruction_weight": 0.0,
        "kl_weight": 0.0,
    },
    # The arguments that the re-implementations called 3DVAEGAN start with (docs/presets.md).  They sum reconstruction
    # and KL over the batch of 32 and average the adversarial loss, hence its weight.
    "peers-3dvaegan": {
        **_PAPER,
        "encoder": "strided",
        "discriminator_first_norm": True,
        "prior": "narrow",
        "soft_labels": True,
        "reconstruction_weight": 1.0,
        "kl_weight": 1.0,
        "adversarial_weight": 1 / 32,
        "batch": 32,
        "beta2": 0.5,
        "learning_rate_encoder": 1e-4,
        "learning_rate_discriminator": 1e-3,
    },
    # A modern 2D backbone, for accuracy over fidelity to the paper.
    "resnet-encoder": {"encoder": "resnet", "encoder_width": 0.5},
    "lsgan": {"adversarial": "lsgan", "adversarial_weight": 5.0},
    "wgan-gp": {"adversarial": "wgan-gp", "spectral_norm": False, "adversarial_weight": 2.0, "beta1": 0.0},
}

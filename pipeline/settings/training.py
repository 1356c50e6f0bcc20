"""``experiments:``, one entry a training run; named presets fill what an entry leaves out."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from pipeline.settings.base import Strict
from pipeline.settings.training_presets import PRESETS

Preset = Literal[
    "demo",
    "warm-start",
    "paper-3dvaegan",
    "paper-3dgan",
    "balanced-3dgan",
    "r1-3dgan",
    "conditional-3dgan",
    "mv-3dvaegan-max",
    "mv-3dvaegan-mean",
    "sn-hinge",
    "three-projections",
    "small",
    "somtambe",
    "peers-3dvaegan",
    "resnet-encoder",
    "lsgan",
    "wgan-gp",
]

# Keys of earlier versions, and what to do instead.
REMOVED = {"micro_batch": "use a smaller batch", "on_out_of_memory": "use a smaller batch"}


class WarmStart(Strict):
    """What comes before the update of all networks, each as a share of the samples; 0 leaves both out."""

    autoencode: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """A voxel encoder and the generator learn to autoencode shapes, with a discriminator where there is one."""
    encode: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """The encoder learns from pictures the code that the voxel encoder gives; no 3D convolution, many times faster."""


class Experiment(Strict):
    """One training run; every key may be left out, the preset fills it."""

    datasets: tuple[str, ...]
    """Data sets to train on, by their names above."""
    preset: Preset = "demo"
    """`demo` is balanced for 32^3, `warm-start` learns more in that time; `paper-3dvaegan` collapses at 32^3."""
    seed: int = 1
    """Seed of initial weights, sampling and noise."""
    categories: tuple[str, ...] | None = None
    """Categories to train on; null takes all."""

    # How long, on what.
    samples: int = pydantic.Field(default=64_000, ge=1)
    """Length of the training in samples seen (views drawn), never in time; 1,000 shapes want about 60,000."""
    warm_start: WarmStart = WarmStart()
    """Shares of the samples with which codes of shapes, then codes of pictures are learned (Girdhar et al. 2016)."""
    batch: int = pydantic.Field(default=16, ge=2, le=4096)
    """Samples in a batch; small batches learn faster per sample on a CPU, 64-128 fill a GPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes the GPU where there is one."""
    threads: int = pydantic.Field(default=2, ge=1, le=256)
    """CPU threads of the arithmetic of each process; part of the result's last bits, so fixed here."""
    processes: int = pydantic.Field(default=1, ge=1, le=64)
    """Processes on one machine that share each batch, on a GPU each where there are GPUs; must divide `batch`."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """`auto` is bf16 on a GPU at 64^3 and above, else float32, of which a GPU's convolutions read 10 bits (TF32)."""
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile the networks; `auto` does it on a GPU."""
    views_per_shape: int = pydantic.Field(default=1, ge=1, le=64)
    """Views encoded together into one code; 1 is the single-view network of the paper."""
    pooling: Literal["max", "mean"] = "max"
    """How the codes of several views become one."""
    mirror: bool = True
    """Show half of the samples mirrored left to right, picture and voxels together."""
    mirror_answers: bool = False
    """An answer is the mean of the answers to the picture and to its mirror image; for use, not for training."""

    colour_jitter: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Vary brightness, contrast, saturation and each channel by factors within 1 +- this."""
    erase: float = pydantic.Field(default=0.0, ge=0, le=1)
    """Probability of a grey rectangle in a picture (random erasing)."""
    random_background: bool = False
    """Draw a new background for every picture shown; needs `shards.storage: layers`."""
    recolour: float = pydantic.Field(default=0.0, ge=0, le=1)
    """Probability of a new colour, or a photograph's skin, for an object; with `random_background` only."""
    zoom: float = pydantic.Field(default=0.0, ge=0, le=3)
    """Show a part near the middle of a picture, enlarged by a random factor of up to 1 + this."""
    crop: Literal["none", "alpha"] = "none"
    """`alpha` crops every picture at the box of its object, 1.15 times as wide; a photograph at that of its mask."""
    turn: bool = False
    """Show shapes at random quarter turns about the up axis; for networks that see no picture."""

    # Networks.
    encoder: Literal["none", "paper", "strided", "deep", "resnet", "resnet18", "resnet34", "resnet50"] = "strided"
    """`none`: plain 3D-GAN; `strided`: light; `deep`: it with two residual blocks; `resnet18` and on: ImageNet's."""
    encoder_weights: str | None = None
    """Weights that a `resnet18`, `resnet34` or `resnet50` of torchvision or timm begins with: .safetensors or .pth."""
    encoder_input: Literal["picture", "projections"] = "picture"
    """`projections` shows the encoder the three axis projections of the voxels: an upper bound, not a task."""
    encoder_width: float = pydantic.Field(default=0.25, gt=0, le=8)
    """Multiplies the encoder's channels (64, 128, 256, 512, ...)."""
    networks: Literal["paper", "small"] = "paper"
    """Generator and discriminator: `paper` with kernel 4, `small` with kernels 2 and 3."""
    width: float = pydantic.Field(default=0.25, gt=0, le=8)
    """Multiplies their channels; 1 is 512, 256, 128, 64, 1 at 64^3 and half of it at 32^3."""
    latent: int = pydantic.Field(default=200, ge=1, le=4096)
    """Numbers in the code z; 200 in the paper."""
    prior: Literal["normal", "narrow", "uniform"] = "normal"
    """p(z): N(0, 1); `narrow` is N(0, 0.33); `uniform` is U(0, 1), the paper's for the plain 3D-GAN."""
    condition: Literal["none", "category"] = "none"
    """`category` tells generator and discriminator the category of a shape, for `sample --category chair`."""
    occupancy_bias: bool = True
    """Start the generator's output at the mean occupancy instead of at one half."""
    spectral_norm: bool = True
    """Divide each weight of the discriminator by its largest singular value."""
    discriminator_norm: bool = False
    """Batch norm in the discriminator, as in the paper; not with `wgan-gp`."""
    discriminator_first_norm: bool = False
    """With `discriminator_norm`: also after its first layer, where DCGAN and the paper's own networks have none."""
    minibatch_deviation: bool = False
    """Show the discriminator's last layer how much the shapes of a batch differ from each other."""
    discriminator_init: Literal["uniform", "he"] = "uniform"
    """Initial weights of the discriminator; `he` keeps the size of activations from layer to layer."""
    leak: float = pydantic.Field(default=0.2, ge=0, lt=1)
    """Slope of the discriminator's leaky ReLU below zero."""
    bias: bool = False
    """Biases in the convolutions before a batch norm; the paper has none."""

    # Losses: weights act on sums over a sample's voxels or codes, averaged over the batch.
    reconstruction: Literal["bce", "l2", "dice"] = "bce"
    """Cross-entropy, squared error (the paper's) or 1 - Dice."""
    reconstruction_weight: float = pydantic.Field(default=1.0, ge=0)
    """1e-4 in the paper at 64^3, with `l2`."""
    mask_weight: float = pydantic.Field(default=0.0, ge=0)
    """Weight of telling the object from what is behind it, by a small head on the encoder; 0 leaves it out."""
    camera_weight: float = pydantic.Field(default=0.0, ge=0)
    """Weight of telling from where the object is seen, by a head on the encoder; 0 leaves it out."""
    kl_weight: float = pydantic.Field(default=0.5, ge=0)
    """5 in the paper, which empties the code at 32^3; raise it for better samples, lower for reconstructions."""
    adversarial: Literal["bce", "hinge", "lsgan", "wgan-gp"] = "hinge"
    """Adversarial loss between generator and discriminator."""
    adversarial_weight: float = pydantic.Field(default=20.0, ge=0)
    """Weight of the adversarial loss in the generator's loss; 0 trains a plain VAE."""
    adversarial_every: int = pydantic.Field(default=4, ge=1, le=1000)
    """Compute it in every n-th step only; each step costs 2.7 times as much with it."""
    discriminator_gate: float = pydantic.Field(default=1.0, gt=0, le=1)
    """Update the discriminator only if its accuracy on the last batch was at most this; 0.8 in the paper."""
    soft_labels: bool = False
    """With `bce`: draw labels from 0.7-1.2 (cut at 1) for real and 0-0.3 for generated."""
    gradient_penalty: float = pydantic.Field(default=10.0, ge=0)
    """Weight of the penalty of `wgan-gp`."""
    r1_gamma: float = pydantic.Field(default=0.0, ge=0)
    """Weight of the R1 penalty on the discriminator's gradient at real shapes; 0 leaves it out."""
    r1_every: int = pydantic.Field(default=4, ge=1, le=1000)
    """Compute the R1 penalty in every n-th adversarial step, with n times its weight."""
    discriminator_shift: int = pydantic.Field(default=0, ge=0, le=16)
    """Shift the shapes that the discriminator sees by up to this many voxels and mirror half; 0 does neither."""

    # Optimisation.
    learning_rate_encoder: float = pydantic.Field(default=3e-3, gt=0)
    """Adam's learning rate for the encoder."""
    learning_rate_generator: float = pydantic.Field(default=1e-3, gt=0)
    """For the generator; 0.0025 in the paper."""
    learning_rate_discriminator: float = pydantic.Field(default=2e-4, gt=0)
    """For the discriminator; 1e-5 in the paper."""
    beta1: float = pydantic.Field(default=0.5, ge=0, lt=1)
    """Adam's first decay."""
    beta2: float = pydantic.Field(default=0.999, ge=0, lt=1)
    """Adam's second decay."""
    schedule: Literal["constant", "cosine", "milestones"] = "cosine"
    """`cosine` lowers the learning rates to zero after `constant_share` of the samples; `milestones` in steps."""
    constant_share: float = pydantic.Field(default=0.3, ge=0, le=1)
    """Share of the training before the learning rates fall."""
    milestones: tuple[int, ...] = ()
    """With `milestones`: samples seen after which the rates are multiplied by `milestone_factor`, each once."""
    milestone_factor: float = pydantic.Field(default=0.1, gt=0, le=1)
    """Factor at each milestone."""
    milestone_networks: tuple[Literal["E", "G", "D"], ...] = ("E", "G", "D")
    """Networks that the milestones slow down; the others keep their rate."""
    warmup_samples: int = pydantic.Field(default=0, ge=0)
    """Raise the rates from zero over this many samples, with any schedule."""
    clip_norm: float = pydantic.Field(default=0.0, ge=0)
    """Scale gradients down to this norm, each network by itself; 0 leaves them."""
    ema: float = pydantic.Field(default=0.98, ge=0, lt=1)
    """Moving average of E's and G's weights per step, used by evaluation and samples; 0 uses the last weights."""

    standing_statistics: bool = False
    """Measure the statistics of the generator's batch norm under the averaged weights before these are used."""

    # Validation and checkpoints, by the same clock: samples seen.
    validate_every: int = pydantic.Field(default=8_000, ge=1)
    """Measure IoU on validation shapes and look for collapse this often."""
    validation_shapes: int = pydantic.Field(default=128, ge=1)
    """At most this many validation shapes, chosen by hash, two views each."""
    checkpoint_every: int = pydantic.Field(default=8_000, ge=1)
    """Save everything that resuming needs this often."""
    keep_checkpoints: int = pydantic.Field(default=2, ge=1, le=1000)
    """Latest checkpoints kept, beside the best one."""
    log_every: int = pydantic.Field(default=800, ge=1)
    """Write the mean losses to metrics.jsonl this often."""
    tensorboard: bool = False
    """Also write scalars, sample grids and histograms of z for TensorBoard."""
    wandb: bool = False
    """Also send them to Weights & Biases (pip install wandb)."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _without_removed_keys(cls, values: Any) -> Any:
        for key, advice in REMOVED.items():
            if isinstance(values, dict) and key in values:
                raise ValueError(f"key `{key}` was removed in 0.2: {advice}")
        return values

    @pydantic.model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        preset = values.get("preset", "demo") if isinstance(values, dict) else None
        return {**PRESETS[preset], **values} if isinstance(preset, str) and preset in PRESETS else values

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Experiment:
        if not self.datasets:
            raise ValueError("`datasets` is empty; name at least one data set to train on")
        if self.encoder == "none" and self.adversarial_weight == 0:
            raise ValueError("encoder 'none' with adversarial_weight 0 has nothing to learn from")
        if self.encoder == "none" and self.reconstruction_weight > 0:
            raise ValueError("encoder 'none' cannot reconstruct; set reconstruction_weight to 0")
        if self.encoder_input == "projections" and self.views_per_shape > 1:
            raise ValueError("encoder_input 'projections' sees the shape itself; set views_per_shape to 1")
        if self.turn and self.encoder != "none" and self.encoder_input == "picture":
            raise ValueError("turned shapes do not fit their pictures; set turn to false, or encoder to 'none'")
        if self.batch % self.processes:
            raise ValueError(f"{self.processes} processes cannot share a batch of {self.batch} evenly")
        if self.recolour > 0 and not self.random_background:
            raise ValueError("recolour needs objects apart from their backgrounds; set random_background to true")
        if bool(self.milestones) != (self.schedule == "milestones"):
            raise ValueError("schedule 'milestones' and the key `milestones` go together; set both or neither")
        return self

    @pydantic.model_validator(mode="after")
    def _consistent_encoder(self) -> Experiment:
        for key in ("mask_weight", "camera_weight", "mirror_answers"):
            if getattr(self, key) and (self.encoder == "none" or self.encoder_input == "projections"):
                raise ValueError(f"{key} needs an encoder of pictures; leave it out")
        if self.crop != "none" and (self.encoder == "none" or self.encoder_input == "projections"):
            raise ValueError("crop needs an encoder of pictures; leave it out")
        if self.encoder_weights is not None and (
            self.encoder not in ("resnet18", "resnet34", "resnet50") or self.encoder_width != 1 or self.bias
        ):
            raise ValueError(
                "encoder_weights need an encoder of their layout; set encoder to resnet18, resnet34 or resnet50, "
                "encoder_width to 1 and bias to false"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _consistent_discriminator(self) -> Experiment:
        if self.adversarial == "wgan-gp" and self.discriminator_norm:
            raise ValueError("'wgan-gp' penalises each sample's own gradient; set discriminator_norm to false")
        if self.r1_gamma > 0 and self.discriminator_norm:
            raise ValueError("r1_gamma penalises each sample's own gradient; set discriminator_norm to false")
        if self.discriminator_first_norm and not self.discriminator_norm:
            raise ValueError("discriminator_first_norm adds to discriminator_norm; set both or neither")
        if self.adversarial == "wgan-gp" and self.discriminator_gate < 1:
            raise ValueError("the critic of 'wgan-gp' has no accuracy; set discriminator_gate to 1")
        return self

    @pydantic.model_validator(mode="after")
    def _warm_start_fits(self) -> Experiment:
        if (self.warm_start.autoencode > 0) != (self.warm_start.encode > 0):
            raise ValueError("warm_start needs both `autoencode` and `encode`, or neither")
        if self.warm_start.autoencode + self.warm_start.encode >= 1:
            raise ValueError("warm_start leaves no samples for the joint update; lower `autoencode` or `encode`")
        if self.warm_start.autoencode > 0 and (self.encoder == "none" or self.reconstruction_weight == 0 or self.turn):
            raise ValueError("warm_start needs an encoder, a reconstruction loss and shapes that are not turned")
        return self

"""The networks of one experiment: encoder E, generator G and discriminator D, with what their codes are.

E picture -> (mean, log-variance), G code -> occupancy logits, D occupancy -> one logit; for a warm start also
V occupancy -> (mean, log-variance).
Shape letters: B shapes, V views, S pixels a side, R voxels a side, Z numbers in the code.

Initial weights: Kaiming uniform with a = sqrt(5) (torch's default for convolutions), drawn
from the experiment's seed; batch norm starts at 1 and 0, biases at 0.
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.seeds import stable_hash
from pipeline.settings.training import Experiment
from training.data.batches import Inputs
from training.networks.codes import POSTERIOR, PRIOR, Coding
from training.networks.encoders import ENCODERS
from training.networks.layers import (
    SpectralNorm,
    Weighted,
    at_least_float32,
    channels_last,
    lay_kernels_channels_last,
)
from training.networks.volumes import Discriminator, Generator, VoxelEncoder

FIRST_ITERATIONS = 8  # of each spectral norm's vector at the start, so that the first updates know the norm

Pictures = Float[Tensor, "B V 3 S S"]  # in [-1, 1]
Codes = Float[Tensor, "B V Z"]


class Encoded(NamedTuple):
    """What E says of B shapes in V views."""

    mean: Codes
    log_variance: Codes
    marks: Float[Tensor, "BV 1 n n"] | None  # logits of where the object is, at S/8, from an encoder with that head
    camera: Float[Tensor, "B V 4"] | None  # of `losses.camera_numbers`, from an encoder with that head


class Networks(nn.Module):
    """E, G, D and V of one experiment; E, D or V is None where the experiment has none."""

    def __init__(
        self,
        settings: Experiment,
        *,
        size_px: int,
        resolution: int,
        categories: int = 1,  # of the data, for networks that are told them
    ):
        super().__init__()
        check_sizes(settings, size_px, resolution)
        told = categories_told(settings, categories)
        self.coding = Coding.of(settings)
        # Which statistics of G's batch norm fit codes from the prior: without D only the encoder's were ever counted.
        self.sampling_source = PRIOR if settings.adversarial_weight > 0 else POSTERIOR
        self.E = (
            None
            if settings.encoder == "none"
            else ENCODERS[settings.encoder](
                resolution if settings.encoder_input == "projections" else size_px,
                settings.latent,
                settings.encoder_width,
                bias=settings.bias,
                mask=settings.mask_weight > 0,
                camera=settings.camera_weight > 0,
            )
        )
        self.V = (
            VoxelEncoder(resolution, settings.latent, settings.width, style=settings.networks, leak=settings.leak)
            if settings.warm_start.autoencode > 0
            else None
        )
        self.G = Generator(
            settings.latent,
            resolution,
            settings.width,
            style=settings.networks,
            last_bias=settings.occupancy_bias,
            bias=settings.bias,
            categories=told,
        )
        self.D = (
            None
            if settings.adversarial_weight == 0
            else Discriminator(
                resolution,
                settings.width,
                style=settings.networks,
                norm=settings.discriminator_norm,
                first_norm=settings.discriminator_first_norm,
                spectral=settings.spectral_norm,
                leak=settings.leak,
                bias=settings.bias,
                deviation=settings.minibatch_deviation,
                categories=told,
            )
        )
        self.he = settings.leak if settings.discriminator_init == "he" else None  # as `initialise` takes it
        initialise(self, settings.seed, he=self.he)

    def on(self, device: torch.device) -> Self:
        """The networks on `device`, in the layout that it likes; a CPU's own is the one they are made in."""
        self.to(device)
        if device.type == "cuda":
            lay_kernels_channels_last(self)
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.G.first.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.G.first.weight.dtype

    @property
    def present(self) -> list[str]:
        """Names of the networks that this experiment has."""
        return [name for name in "EGD" if getattr(self, name) is not None]

    @property
    def reads_pictures(self) -> bool:
        """Whether there is an encoder, and one of pictures."""
        return self.E is not None and self.coding.takes == "picture"

    def autoencoder(self) -> Networks:
        """The same networks with V in the place of E: what they are shown are the shapes themselves."""
        view = copy.copy(self)
        view._modules = {**self._modules, "E": self.V, "V": None}
        view.coding = self.coding.of_shapes()
        return view

    def encoder_input(self, batch: Inputs) -> Float[Tensor, "B W C ..."]:
        """What the encoder is shown of shapes: the pictures, or the shapes themselves."""
        return batch["images"] if self.coding.takes == "picture" else self.coding.view_of(batch["voxels"])

    def encode(self, images: Float[Tensor, "B V C ..."]) -> tuple[Codes, Codes]:
        """Mean and log-variance of every view; all views in one pass."""
        return self.encode_fully(images)[:2]

    def encode_fully(self, images: Float[Tensor, "B V C ..."]) -> Encoded:
        """The same, and what the encoder's other heads say."""
        assert self.E is not None
        b, views = images.shape[:2]
        codes, marks = self.E(channels_last(images.flatten(0, 1).to(self.dtype)))
        latent = self.coding.latent
        codes = at_least_float32(codes).reshape(b, views, -1)
        mean, log_variance, camera = torch.tensor_split(codes, (latent, 2 * latent), dim=-1)
        return Encoded(
            mean,
            log_variance.clamp(-15, 15),  # exp() stays finite
            None if marks is None else at_least_float32(marks),
            camera if camera.shape[-1] else None,
        )

    def mean_code(
        self, images: Float[Tensor, "B V C ..."], draws: Float[Tensor, "K W Z"] | None = None
    ) -> Float[Tensor, "B Z"]:
        """The code of the shape in the pictures, without noise: `Coding.expected` of what E says."""
        return self.coding.expected(*self.encode(images), draws)

    def answer(
        self, images: Float[Tensor, "B V C ..."], draws: Float[Tensor, "K W Z"] | None = None
    ) -> Float[Tensor, "B 1 R R R"]:
        """Occupancy probabilities of the shape in the pictures: what G makes of `mean_code`.

        Where `Coding.mirrors`, the mean of two answers: that to the mirrored pictures is mirrored back.
        """
        answer: Tensor = self.G(self.mean_code(images, draws), POSTERIOR).sigmoid()
        if not self.coding.mirrors:
            return answer
        other: Tensor = self.G(self.mean_code(images.flip(-1), draws), POSTERIOR).sigmoid()
        return (answer + other.flip(2)) / 2

    def prior_codes(
        self,
        count: int,
        *,
        labels: Int64[Tensor, " B"] | None = None,  # category of each; None takes them in turn
        step: int = 0,
        purpose: str = "prior",
        seed: int | None = None,
    ) -> Float[Tensor, "B Z"]:
        """Codes from p(z), or from p(z | category) where the networks are told it."""
        codes = self.noise_codes(count, step=step, purpose=purpose, seed=seed)
        if labels is None and self.G.classes is not None:
            labels = torch.arange(count, device=self.device) % self.G.classes.num_embeddings
        return self.towards(codes, labels)

    def noise_codes(
        self, count: int, *, step: int = 0, purpose: str = "prior", seed: int | None = None, portable: bool = True
    ) -> Float[Tensor, "B Z"]:
        """Codes of no category on the networks' device and in their precision: `Coding.from_prior`."""
        codes = self.coding.from_prior(count, self.device, step=step, purpose=purpose, seed=seed, portable=portable)
        return codes.to(self.dtype)

    def towards(self, codes: Float[Tensor, "B Z"], labels: Int64[Tensor, " B"] | None) -> Float[Tensor, "B Z"]:
        """Codes of no category as codes of their categories: moved by the mean of each; as they are without any."""
        means = self._category_means(labels)
        return codes if means is None else codes + means

    def centred(self, codes: Float[Tensor, "B V Z"], labels: Int64[Tensor, " B"] | None) -> Float[Tensor, "B V Z"]:
        """What `towards` does, undone: posterior means seen from the mean of their category."""
        means = self._category_means(labels)
        return codes if means is None else codes - means[:, None]

    def _category_means(self, labels: Int64[Tensor, " B"] | None) -> Float[Tensor, "B Z"] | None:
        if self.G.classes is None:
            return None
        if labels is None:
            raise ValueError("these networks are told the category of a shape: give the labels")
        means: Tensor = self.G.classes(labels)
        return means

    def compile_where_it_pays(self, wanted: str, *, penalised: bool) -> None:
        """torch.compile each network in place, names of weights unchanged; on a CPU it gains nothing.

        The exchanges between processes, which batch norm makes inside a network, become part of its one graph.

        wanted : "auto", "on" or "off".
        penalised : by WGAN-GP's or R1's penalty on gradients, which differentiate D twice; compiled code cannot.
        """
        if wanted == "off" or (wanted == "auto" and self.device.type != "cuda"):
            return
        for network in (self.E, self.G, self.V):
            if network is not None:
                network.compile()
        if self.D is not None and not penalised:
            self.D.judged = torch.compile(self.D.judged)  # type: ignore[method-assign]


def categories_told(settings: Experiment, categories: int) -> int:
    """How many categories the networks are told; 0 where they are told none."""
    if settings.condition == "none":
        return 0
    if categories < 2:
        raise UserError(
            "there are no categories to tell apart",
            where="condition: category",
            got=f"{categories} category",
            wanted="data of at least two",
            do="set condition to none, or train on more categories",
        )
    return categories


def check_sizes(settings: Experiment, size_px: int, resolution: int) -> None:
    """Refuse pictures or grids that the networks cannot take."""
    if settings.encoder != "none" and settings.encoder_input == "picture" and size_px % 32:
        raise UserError(
            "the encoder needs pictures of another size",
            got=f"{size_px} px",
            wanted="64, 128 or 256 px",
            do="set render.size_px in config.yaml and run the same command again",
        )
    if resolution not in (16, 32, 64, 128) or (settings.networks == "small" and resolution < 32):
        raise UserError(
            "the networks need another voxel resolution",
            got=str(resolution),
            wanted="32 or 64",
            do="set voxels.resolution in config.yaml and run the same command again",
        )


def initialise(networks: nn.Module, seed: int, *, he: float | None = None) -> None:
    """Draw every weight from (seed, its name), so that adding a layer changes no other.

    he : slope of D's leaky ReLU where D's weights are drawn as in He et al. 2015, equation 15; None as all others.
    """
    for name, parameter in networks.named_parameters():
        if parameter.dim() > 1:
            source = torch.Generator().manual_seed(stable_hash(seed, "weight", name) >> 1)
            if he is not None and name.startswith("D."):
                nn.init.kaiming_normal_(parameter, a=he, nonlinearity="leaky_relu", generator=source)
            else:
                nn.init.kaiming_uniform_(parameter, a=math.sqrt(5), generator=source)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    for name, module in networks.named_modules():
        if isinstance(module, SpectralNorm):
            source = torch.Generator().manual_seed(stable_hash(seed, "singular vector", name) >> 1)
            module.left.copy_(F.normalize(torch.randn(module.left.shape, generator=source), dim=0))
    for module in networks.modules():
        if isinstance(module, Weighted):
            for _ in range(FIRST_ITERATIONS):
                module.iterate()


def set_output_bias(generator: Generator, occupancy: float) -> None:
    """Start at the data's mean occupancy: the bias of a constant prediction that minimises cross-entropy."""
    bias = generator.last.bias
    if isinstance(bias, Tensor):
        with torch.no_grad():
            bias.fill_(math.log(max(occupancy, 1e-4) / max(1 - occupancy, 1e-4)))

"""Binary generative adversarial networks."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from methods._base import Hasher
from methods._neighbourhood import similar_pairs
from methods._nets import ConvEncoder, Discriminator, Generator, app_activation, resized, tanh_activation
from methods._training import batches, check_finite, device, initialised_by, to_tensor
from progress import Progress

ACTIVATIONS = {"tanh": tanh_activation, "app": app_activation}
ENCODED = 512  # images encoded at a time
PICTURES = 16  # training images kept with the run, beside what the generator makes of their codes


class BGAN(Hasher):
    """An encoder whose near-binary codes keep the neighbourhood of the images and suffice a generator to rebuild them.

    Source: Song et al., AAAI 2018 (arXiv 1708.04150), and the authors' code, github.com/htconquer/BGAN at 1c121b9.
    Differs from the paper: its encoder is VGG-19 on 224 x 224 images; here a small network is trained from scratch, with a
    generator and a discriminator of an eighth of the released width, on images of at most 32 pixels. What the paper says of loss
    weights, the schedule of beta, batch, learning rate and epochs is not known to us. The released code's are taken: weights 10, 1
    and 1, its list of betas in equal stages (it never leaves the first), batch 40, learning rate 0.001 (with Adam's usual epsilon
    instead of 1), and 20 epochs, those of the codes that its evaluation script names.
    """

    label, citation, uses_gpu = "BGAN", "song2018binary", True

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        k1=20,
        k2=30,
        activation="tanh",
        betas=(1.0, 2.5, 5.0, 7.5, 10.0),
        weight_neighbourhood=10.0,
        weight_pixel=1.0,
        weight_perceptual=1.0,
        weight_adversarial=1.0,
        image_size=32,
        width=0.125,
        batch=40,
        epochs=20,
        learning_rate=1e-3,
    ):
        self.n_bits = n_bits
        self.seed = seed
        self.k1, self.k2 = k1, k2
        self.activation, self.betas = activation, betas
        self.weight_neighbourhood = weight_neighbourhood
        self.weight_pixel, self.weight_perceptual = weight_pixel, weight_perceptual
        self.weight_adversarial = weight_adversarial
        self.image_size, self.width = image_size, width
        self.batch, self.epochs, self.learning_rate = batch, epochs, learning_rate

    def fit(self, images, neighbours):
        self.device_ = device()
        similar = similar_pairs(neighbours, self.k1, self.k2)
        size = min(self.image_size, images.shape[1])
        self._build(size)
        pixels = to_tensor(images, self.device_)  # (n, 3, h, w) uint8
        per_epoch = len(images) // self.batch
        progress = Progress(f"bgan {self.n_bits} bits", total=self.epochs * per_epoch, unit="batches")
        history = []
        for epoch, rows in batches(len(images), self.batch, self.epochs, self.seed):
            beta = self.betas[epoch * len(self.betas) // self.epochs]
            targets = torch.from_numpy(similar[rows][:, rows].toarray() * 2.0 - 1.0).float().to(self.device_)  # (B, B), -1 or +1
            losses = self._step(pixels[rows].float() / 255, targets, beta, size)
            history.append(torch.stack(list(losses.values())))
            progress.advance(**losses)
            if len(history) % per_epoch == 0:
                check_finite(losses, epoch)
        for network in (self.encoder_, self.generator_, self.discriminator_):
            network.eval()
        self.extras_ = self._pictures(pixels[:PICTURES], size)
        curves = torch.stack(history).unflatten(0, (self.epochs, per_epoch)).mean(1)  # (epochs, losses)
        self.extras_ |= {"losses": curves.cpu().numpy(), "loss_names": np.array(list(losses))}
        return self

    def encode(self, images):
        pixels = to_tensor(images, self.device_)
        with torch.no_grad():
            represented = [self._represent(block.float() / 255) for block in pixels.split(ENCODED)]
        return torch.cat(represented).cpu().numpy() >= 0

    @torch.no_grad()
    def _pictures(self, pixels, size):
        """Training images and what the generator makes of their binary codes, both uint8 (m, size, size, 3)."""
        real = resized(pixels.float() / 255, size)
        codes = torch.where(self._represent(pixels.float() / 255) >= 0, 1.0, -1.0)
        pictures = {"originals": real, "rebuilt": self.generator_(codes)}
        return {name: (values * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy() for name, values in pictures.items()}

    def _build(self, size):
        """Encoder, generator and discriminator, and their optimisers, each from its own random stream."""
        with initialised_by(self.seed, "encoder"):
            self.encoder_ = ConvEncoder(self.n_bits).to(self.device_)
        with initialised_by(self.seed, "generator"):
            self.generator_ = Generator(self.n_bits, size, self.width).to(self.device_)
        with initialised_by(self.seed, "discriminator"):
            self.discriminator_ = Discriminator(size, self.width).to(self.device_)
        networks = (self.encoder_, self.generator_, self.discriminator_)
        self.optimisers_ = [torch.optim.Adam(network.parameters(), self.learning_rate, fused=True) for network in networks]

    def _represent(self, images):
        """Real-valued representations z (m, n_bits) of images (m, 3, h, w) in 0..1."""
        return self.encoder_(images * 2 - 1)

    def _step(self, images, targets, beta, size):
        """One simultaneous update of the three networks; returns their losses."""
        codes = ACTIVATIONS[self.activation](self._represent(images), beta)  # (B, n_bits) in -1..1
        real = resized(images, size)
        rebuilt = self.generator_(codes)  # (B, 3, size, size)
        real_logits, real_features = self.discriminator_(real)
        rebuilt_logits, rebuilt_features = self.discriminator_(rebuilt)
        neighbourhood = neighbourhood_loss(codes, targets)
        pixel = functional.mse_loss(rebuilt, real)
        perceptual = functional.mse_loss(rebuilt_features, real_features.detach())
        content = self.weight_pixel * pixel + self.weight_perceptual * perceptual
        fooling = -functional.logsigmoid(rebuilt_logits).mean()
        adversarial = adversarial_loss(real_logits, rebuilt_logits)
        # Encoder: N + C. Generator: C + A. Discriminator: A. Each objective is differentiated for its own networks alone.
        _accumulate(self.weight_neighbourhood * neighbourhood + content, [self.encoder_, self.generator_])
        _accumulate(self.weight_adversarial * fooling, [self.generator_])
        _accumulate(adversarial, [self.discriminator_])
        for optimiser in self.optimisers_:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        losses = {"neighbourhood": neighbourhood, "pixel": pixel, "perceptual": perceptual, "adversarial": adversarial}
        return {name: loss.detach() for name, loss in losses.items()}


def _accumulate(objective: torch.Tensor, networks: list[nn.Module]) -> None:
    """Add the gradient of `objective` to the parameters of `networks` and of nothing else."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    gradients = torch.autograd.grad(objective, parameters, retain_graph=True, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def neighbourhood_loss(codes: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Half the mean over pairs of (b_i . b_j / L - s_ij)^2. codes (B, L), targets (B, B) in {-1, +1}."""
    return 0.5 * (codes @ codes.T / codes.shape[1] - targets).square().mean()


def adversarial_loss(real_logits: torch.Tensor, generated_logits: torch.Tensor) -> torch.Tensor:
    """-mean of log D(I) + log(1 - D(I^)): what the discriminator minimises."""
    return -(functional.logsigmoid(real_logits) + functional.logsigmoid(-generated_logits)).mean()

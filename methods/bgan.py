"""Binary generative adversarial networks."""

import numpy as np
import torch
from torch.nn import functional

import methods._nets as nets
import methods._training as training
from harness.imagenet import device, resized
from harness.progress import Progress
from methods._base import Hasher
from methods._neighbourhood import TIES, similar_pairs

CHOICES = {
    "ties": TIES,
    "activation": tuple(nets.ACTIVATIONS),
    "generator_input": ("relaxed", "binary", "noisy"),
    "discriminator_sees": ("reconstructions", "noise", "both"),
    "encoder": nets.ENCODERS,
    "precision": nets.PRECISIONS,
    "optimiser": training.OPTIMISERS,
}
ENCODED = 512  # images encoded at a time by a small encoder; a pretrained one takes as many as in a batch of training
SLOPED, SATURATED = (
    ("tanh", "app"),
    0.99,
)  # activations with an end of their slope; a unit of larger magnitude hardly learns any more
PICTURES = 16  # training images kept with the run, beside what the generator makes of their codes


class BGAN(Hasher):
    """An encoder whose near-binary codes keep the neighbourhood of the images and suffice a generator to rebuild them.

    Source: Song et al., AAAI 2018 (arXiv 1708.04150), and the authors' code, github.com/htconquer/BGAN at 1c121b9.
    Differs from the paper: by default a small network trained from scratch ("conv") or a head on given features ("features") instead
    of its encoder, "vgg19"; generator and discriminator of an eighth of the released width, on images of at most 32 pixels, the side a
    multiple of 8 (enlarge: of image_size whatever theirs is, as released). Of "vgg19", and of the lighter "squeezenet1_1", every layer
    is trained further; weights, sha256, encoder_size (pixels a side) and precision are those of Pretrained. What the paper says of loss
    weights, the schedule of beta, batch, learning rate and epochs is not known to us. The released code's are taken: weights 10, 1 and
    1, though its pair loss has no half and its perceptual loss is 10 / 3 of the mean here; its list of betas in equal stages (it never
    leaves the first), batch 40, learning rate 0.001 (with Adam's usual epsilon instead of 1), and 20 epochs, those of the codes that its
    evaluation script names. As in the code, not the paper: the perceptual loss is on the discriminator's last hidden layer, and the
    generator minimises -log D. As in neither: PyTorch's initial weights and batch normalisation, and logarithms that are not clipped.

    Where else they differ, or the paper is unknown, a keyword offers both. Neighbourhood: k1, k2, ties, second_step; pair loss:
    scale_by_length (the inner product over L: the paper's, by all indirect evidence), weight_quantisation (the released code's term);
    activation: tanh (the paper's and the code's), app (the paper's second), ste, two-step; betas: one entry an equal stage of
    epochs; generator_input: the relaxed code, the binary code (the paper's claim), or the code with noise of learned variance (the
    released code); discriminator_sees: reconstructions (the paper's figure), generations from Gaussian noise (the code), or both;
    adversarial_to_encoder: whether the encoder too answers to the adversary; optimiser: Adam as PyTorch or as TensorFlow has it (the
    code's), which differ where epsilon is large, or plain descent.
    """

    label, citation, uses_gpu = "BGAN", "song2018binary", True
    encoder_param, weights_param, digest_param = "encoder", "weights", "sha256"
    memory_params = ("batch", "image_size", "width", "encoder_size")

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        encoder="conv",
        weights=None,
        sha256=None,
        encoder_size=224,
        precision="float32",
        k1=20,
        k2=30,
        ties="place",
        second_step=True,
        scale_by_length=True,
        weight_neighbourhood=10.0,
        weight_quantisation=0.0,
        activation="tanh",
        betas=(1.0, 2.5, 5.0, 7.5, 10.0),
        generator_input="relaxed",
        weight_pixel=1.0,
        weight_perceptual=1.0,
        discriminator_sees="reconstructions",
        weight_adversarial=1.0,
        adversarial_to_encoder=False,
        image_size=32,
        enlarge=False,
        width=0.125,
        optimiser="adam",
        learning_rate=1e-3,
        epsilon=1e-8,
        batch=40,
        epochs=20,
    ):
        self.n_bits, self.seed, self.encoder, self.weights, self.sha256 = (
            n_bits,
            seed,
            encoder,
            weights,
            sha256,
        )
        self.encoder_size, self.precision = encoder_size, precision
        self.k1, self.k2, self.ties, self.second_step = k1, k2, ties, second_step
        self.scale_by_length = scale_by_length
        self.weight_neighbourhood, self.weight_quantisation = (
            weight_neighbourhood,
            weight_quantisation,
        )
        self.activation, self.betas = activation, betas
        self.generator_input, self.discriminator_sees = generator_input, discriminator_sees
        self.weight_pixel, self.weight_perceptual = weight_pixel, weight_perceptual
        self.weight_adversarial, self.adversarial_to_encoder = (
            weight_adversarial,
            adversarial_to_encoder,
        )
        self.image_size, self.enlarge, self.width = image_size, enlarge, width
        self.optimiser, self.learning_rate, self.epsilon = optimiser, learning_rate, epsilon
        self.batch, self.epochs = batch, epochs

    def fit(self, images, features, neighbours):
        self._check()
        self.device_ = device(tf32=True)
        similar = similar_pairs(neighbours, self.k1, self.k2, self.second_step, self.ties)
        side = self.image_size if self.enlarge else min(self.image_size, images.shape[1])
        self.size_ = -(-side // 8) * 8  # the generator doubles a side three times
        self._build(features)
        self.noise_ = training.stream(self.seed, "noise", self.device_)
        pixels = training.to_tensor(images, self.device_)
        inputs = (
            training.to_tensor(features, self.device_) if self.encoder == "features" else pixels
        )
        per_epoch = len(images) // self.batch
        checkpoint = training.Checkpoint(
            self.checkpoint, self.networks_ + self.optimisers_, self.noise_
        )
        history = checkpoint.resume()
        progress = Progress(
            f"bgan {self.n_bits} bits",
            total=self.epochs * per_epoch,
            unit="batches",
            done=len(history),
        )
        for step, (epoch, rows) in enumerate(
            training.batches(len(images), self.batch, self.epochs, self.seed)
        ):
            if step < progress.done:
                continue
            beta = self.betas[epoch * len(self.betas) // self.epochs]
            targets = torch.from_numpy(
                similar[rows][:, rows].toarray() * 2.0 - 1.0
            ).float()  # (B, B), -1 or +1
            seen, drawn = (
                training.rows_of(inputs, rows, self.device_),
                training.rows_of(pixels, rows, self.device_),
            )
            with training.initialised_by(
                self.seed, f"dropout/{step}"
            ):  # a stream for each step: there is no state to keep
                curves = self._step(seen, drawn, training.to_device(targets, self.device_), beta)
            curves |= {"beta": torch.full((), beta, device=self.device_)}
            history.append(torch.stack(list(curves.values())))
            progress.advance(**curves)
            checkpoint.keep(history, left=progress.total - len(history))
            if len(history) % per_epoch == 0:
                training.check_finite(curves, epoch)
        for network in self.networks_:
            network.eval()
        means = (
            torch.stack(history).unflatten(0, (self.epochs, per_epoch)).mean(1).cpu()
        )  # (epochs, curves)
        if "saturated" in curves:
            self.facts_ |= {"saturated": float(means[-1, list(curves).index("saturated")])}
        self.extras_ = {"curves": means.numpy(), "curve_names": np.array(list(curves))}
        shown = np.arange(min(PICTURES, len(images)))
        self.extras_ |= self._pictures(
            *(training.rows_of(kept, shown, self.device_) for kept in (inputs, pixels))
        )
        return self

    def encode(self, images, features):
        with torch.no_grad():
            inputs = training.to_tensor(
                features if self.encoder == "features" else images, self.device_
            )
            size = self.batch if self.encoder in nets.PRETRAINED else ENCODED
            represented = [
                self._represent(block.to(self.device_))[0] for block in inputs.split(size)
            ]
        return torch.cat(represented).cpu().numpy() >= 0

    def _check(self):
        """Raise ValueError for keywords that are none of their choices, or that say nothing together."""
        training.check_choices(self, CHOICES)
        if self.epochs < 1 or not self.betas:
            raise ValueError(
                f"epochs is {self.epochs} and betas {self.betas}: expected at least one of each"
            )
        if self.adversarial_to_encoder and self.discriminator_sees == "noise":
            raise ValueError(
                'adversarial_to_encoder changes nothing where discriminator_sees is "noise": expected reconstructions or both'
            )

    def _build(self, features):
        """Encoder, generator and discriminator, and their optimisers, each from its own random stream."""
        with training.initialised_by(self.seed, "encoder"):
            trunk = nets.trunk_of(
                self.encoder, features, self.weights, self.sha256, self.encoder_size, self.precision
            )
            encoder = nets.Encoder(*trunk, self.n_bits, noisy=self.generator_input == "noisy")
        self.facts_ = (
            {"weights_sha256": trunk[0].weights_sha256} if self.encoder in nets.PRETRAINED else {}
        )
        with training.initialised_by(self.seed, "generator"):
            generator = nets.Generator(self.n_bits, self.size_, self.width)
        with training.initialised_by(self.seed, "discriminator"):
            discriminator = nets.Discriminator(self.size_, self.width)
        networks = encoder, generator, discriminator
        self.networks_ = [
            network.to(self.device_, memory_format=torch.channels_last) for network in networks
        ]
        self.optimisers_ = [
            training.optimiser_of(network, self.optimiser, self.learning_rate, self.epsilon)
            for network in self.networks_
        ]

    def _represent(self, inputs):
        """Representations z (m, n_bits) of uint8 images (m, 3, h, w) or float32 features (m, d), and a log-variance or None."""
        return self.networks_[0](inputs.float() / 255 * 2 - 1 if self.encoder == "conv" else inputs)

    def _step(self, inputs, pixels, targets, beta):
        """One simultaneous update of the three networks; returns their losses, the share of bits on, and of units past their slope."""
        represented, log_variance = self._represent(inputs)
        codes = nets.ACTIVATIONS[self.activation](represented, beta)  # (B, n_bits)
        losses = {
            "neighbourhood": neighbourhood_loss(codes, targets, self.scale_by_length),
            "quantisation": quantisation_loss(codes),
        }
        objective = self.weight_neighbourhood * losses["neighbourhood"]
        if self.weight_quantisation:
            objective = objective + self.weight_quantisation * losses["quantisation"]
        encoder, generator, discriminator = self.networks_
        if self.weight_pixel or self.weight_perceptual or self.weight_adversarial:
            real = resized(pixels.float() / 255, self.size_)  # (B, 3, size, size)
            rebuilt = generator(self._generator_codes(codes, represented, log_variance))
            losses["pixel"] = functional.mse_loss(rebuilt, real)
            objective = objective + self.weight_pixel * losses["pixel"]
            if self.weight_perceptual or self.weight_adversarial:
                seen = discriminator(real), discriminator(rebuilt)
                losses["perceptual"] = functional.mse_loss(seen[1][1], seen[0][1].detach())
                objective = objective + self.weight_perceptual * losses["perceptual"]
            if self.weight_adversarial:
                logits = self._fake_logits(seen[1][0], len(codes))
                losses["adversarial"] = adversarial_loss(seen[0][0], logits)
                fooling = -self.weight_adversarial * functional.logsigmoid(logits).mean()
                training.accumulate(
                    fooling, [generator, encoder] if self.adversarial_to_encoder else [generator]
                )
                training.accumulate(losses["adversarial"], [discriminator])
        # Encoder: N + C. Generator: C + A. Discriminator: A. Each objective is differentiated for its own networks alone.
        training.accumulate(objective, [encoder, generator])
        for optimiser in self.optimisers_:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        losses["bits on"] = (codes >= 0).float().mean()
        if self.activation in SLOPED:
            losses["saturated"] = (codes.abs() > SATURATED).float().mean()
        return {name: loss.detach() for name, loss in losses.items()}

    def _generator_codes(self, codes, represented, log_variance):
        if self.generator_input == "binary":
            return nets.straight_through(represented)
        if self.generator_input == "noisy":
            return codes + torch.exp(log_variance / 2) * self._noise(len(codes))
        return codes

    def _fake_logits(self, rebuilt_logits, n):
        """The discriminator's logits of what it takes for generated: reconstructions, generations from N(0, I), or both."""
        if self.discriminator_sees == "reconstructions":
            return rebuilt_logits
        _, generator, discriminator = self.networks_
        sampled_logits, _ = discriminator(generator(self._noise(n)))
        return (
            sampled_logits
            if self.discriminator_sees == "noise"
            else torch.cat([rebuilt_logits, sampled_logits])
        )

    def _noise(self, n):
        return torch.randn(n, self.n_bits, generator=self.noise_, device=self.device_)

    @torch.no_grad()
    def _pictures(self, inputs, pixels):
        """Training images, what the generator makes of their binary codes and of random ones: uint8 (m, size, size, 3) each."""
        generator, codes = (
            self.networks_[1],
            torch.where(self._represent(inputs)[0] >= 0, 1.0, -1.0),
        )
        pictures = {
            "originals": resized(pixels.float() / 255, self.size_),
            "rebuilt": generator(codes),
        }
        pictures["sampled"] = generator(torch.where(self._noise(len(codes)) >= 0, 1.0, -1.0))
        return {
            name: (values * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
            for name, values in pictures.items()
        }


def neighbourhood_loss(
    codes: torch.Tensor, targets: torch.Tensor, scale_by_length: bool = True
) -> torch.Tensor:
    """Half the mean over pairs of (b_i . b_j / L - s_ij)^2, or without 1 / L. codes (B, L), targets (B, B) in {-1, +1}."""
    products = codes @ codes.T / (codes.shape[1] if scale_by_length else 1)
    return 0.5 * (products - targets).square().mean()


def quantisation_loss(codes: torch.Tensor) -> torch.Tensor:
    """Mean of (b - sign b)^2, from the released code. codes (B, L)."""
    return (codes - torch.where(codes >= 0, 1.0, -1.0).detach()).square().mean()


def adversarial_loss(real_logits: torch.Tensor, generated_logits: torch.Tensor) -> torch.Tensor:
    """-mean log D(I) - mean log(1 - D(I^)): what the discriminator minimises."""
    return (
        -functional.logsigmoid(real_logits).mean() - functional.logsigmoid(-generated_logits).mean()
    )

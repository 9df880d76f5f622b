"""Binary generative adversarial networks."""

import numpy as np
import torch
from torch.nn import functional

import methods._heads as heads
import methods._nets as nets
import methods._training as training
from harness.imagenet import device, resized
from harness.progress import Progress
from methods._activations import ACTIVATIONS, straight_through
from methods._base import Hasher
from methods._neighbourhood import TIES, similar_pairs

CHOICES = {
    "ties": TIES,
    "activation": tuple(ACTIVATIONS),
    "generator_input": ("relaxed", "binary", "noisy"),
    "discriminator_sees": ("reconstructions", "noise", "both"),
    "encoder": nets.ENCODERS,
    "scaling": heads.SCALINGS,
    "precision": nets.PRECISIONS,
    "batch_norm": nets.BATCH_NORMS,
    "optimiser": training.OPTIMISERS,
    "schedule": training.SCHEDULES,
}
ENCODED_IMAGES = 512  # at a time, by a small encoder; a pretrained one takes a batch of training
# Activations whose slope ends, and the magnitude above which a unit hardly learns any more.
SATURATING_ACTIVATIONS, SATURATION = ("tanh", "app"), 0.99
PICTURES = 16  # training images stored with the run, with what the generator makes of their codes


class BGAN(Hasher):
    """An encoder of near-binary codes, trained with a generator and a discriminator.

    The encoder learns codes that preserve the neighbours of an image. The generator reconstructs
    the image from its code, and the discriminator learns to distinguish such images from real ones.

    Source: Song et al., AAAI 2018 (arXiv 1708.04150), and the authors' code,
    github.com/htconquer/BGAN at 1c121b9.

    Differs from the paper:

    - The paper's values of loss weights, betas, batch, learning rate and epochs are not known to
      us. The weights are the released code's 10, 1 and 1, although its pair loss has no factor 1/2
      and its perceptual loss is 10 / 3 of the mean here. The list of betas and the batch of 40 are
      the released code's too. The betas have stages of equal length here. The released code never
      leaves the first stage.
    - By default the encoder is a small network trained from scratch ("conv"), or a head on given
      features ("features"), instead of VGG-19. All layers of "vgg19", and of the lighter
      "squeezenet1_1", are trained further.
    - By default generator and discriminator have an eighth of the released width, and see images of
      at most 32 pixels.
    - The learning rate falls from 3e-4 to 0 along a cosine, over half the epochs for which the
      released code's evaluation script names codes. At the released constant rate of 1e-3, with
      the usual epsilon of Adam, the result is chaotic: a change of 1e-7 in the last layer changes
      a quarter to a third of the bits on digits (12 and 32 bits), and 47 % on features of CIFAR-10.
      Here it changes 0.4 to 3 % on digits, and with the neighbourhood loss alone 0.1 % on CIFAR-10.
      The whole BGAN head on CIFAR-10 still changes 12 to 21 % of the bits, and its mAP by 0.012;
      with a neighbourhood weight of 100, 0.4 to 3 % and 0.001 (32 bits).
    - As in the code, the perceptual loss is on the last hidden layer of the discriminator, and the
      generator minimises -log D.
    - With views as rows, all views of an image have its neighbours and its pixels.
    - Unlike in the paper and the code, the initial weights are PyTorch's, and logarithms are not
      clipped.

    Parameters
    ----------
    n_bits : int
    seed : int
    encoder : {"conv", "features", "vgg19", "squeezenet1_1"}
    scaling : {"standard", "unit", "none"}
        Of the features that encoder "features" has; see `Scaling`.
    weights, sha256, encoder_size, precision
        Of a pretrained encoder; see `Pretrained`. encoder_size is a side length in pixels.
    k1, k2, ties, second_step
        Of the neighbourhood; see `similar_pairs`.
    scale_by_length : bool
        Whether the inner product of two codes is divided by n_bits: the paper's loss, by all
        indirect evidence. The released code does not divide.
    weight_neighbourhood, weight_quantisation, weight_pixel, weight_perceptual, weight_adversarial
        Of the losses. The quantisation term is the released code's. Without image losses no
        generator is built.
    activation : {"tanh", "app", "ste", "two-step"}
        tanh is the paper's and the code's, app the paper's second one.
    betas : sequence of float
        Slopes of the activation, each for an equal number of epochs.
    generator_input : {"relaxed", "binary", "noisy"}
        The relaxed code, the binary code (the paper's claim), or the relaxed code with noise of
        learned variance (the released code).
    discriminator_sees : {"reconstructions", "noise", "both"}
        What it takes for generated: reconstructions (the paper's figure), or generations from
        Gaussian noise (the released code).
    adversarial_to_encoder : bool
        Whether the adversarial loss is back-propagated into the encoder.
    image_size : int
        Maximum side of the generated images in pixels, rounded up to a multiple of 8.
    enlarge : bool
        Whether smaller images are enlarged to image_size, as released.
    width : float
        Factor of the released channels of generator and discriminator.
    batch_norm : {"released", "hidden"}
        Where generator and discriminator are normalised; see `Generator`. The paper does not
        state it, so the default is the released layout.
    optimiser : {"adam", "adam-tensorflow", "sgd"}
        Adam as in PyTorch or in TensorFlow (the released code's), which differ where epsilon is
        large, or gradient descent with momentum.
    learning_rate, epsilon : float
    schedule : {"cosine", "constant"}
        Of the learning rate; "constant" as released.
    batch, epochs : int
    """

    label, citation, uses_gpu = "BGAN (default)", "song2018binary", True
    encoder_param, weights_param, digest_param = "encoder", "weights", "sha256"
    memory_params = ("batch", "image_size", "width", "encoder_size")
    tier, fidelity, pooled = "encoder", "C", True
    search_space = {
        "weight_neighbourhood": (1.0, 10.0, 20.0, 100.0),
        "weight_quantisation": (0.0, 1.0, 10.0),
        "weight_pixel": (0.1, 1.0, 10.0),
        "weight_perceptual": (0.1, 1.0, 3.3333333333333335, 10.0),
        "weight_adversarial": (0.1, 1.0, 10.0),
        "learning_rate": (0.0001, 0.0003, 0.001),
    }

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        encoder="conv",
        scaling="standard",
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
        batch_norm="released",
        optimiser="adam",
        learning_rate=3e-4,
        epsilon=1e-8,
        schedule="cosine",
        batch=40,
        epochs=10,
    ):
        self.n_bits, self.seed = n_bits, seed
        self.encoder, self.scaling = encoder, scaling
        self.weights, self.sha256 = weights, sha256
        self.encoder_size, self.precision = encoder_size, precision
        self.k1, self.k2, self.ties, self.second_step = k1, k2, ties, second_step
        self.scale_by_length = scale_by_length
        self.weight_neighbourhood = weight_neighbourhood
        self.weight_quantisation = weight_quantisation
        self.activation, self.betas = activation, betas
        self.generator_input, self.discriminator_sees = generator_input, discriminator_sees
        self.weight_pixel, self.weight_perceptual = weight_pixel, weight_perceptual
        self.weight_adversarial = weight_adversarial
        self.adversarial_to_encoder = adversarial_to_encoder
        self.image_size, self.enlarge, self.width = image_size, enlarge, width
        self.batch_norm = batch_norm
        self.optimiser, self.learning_rate, self.epsilon = optimiser, learning_rate, epsilon
        self.schedule, self.batch, self.epochs = schedule, batch, epochs

    def fit(self, images, features, neighbours):
        self._check()
        self.device_ = device(tf32=True)
        similar = similar_pairs(neighbours, self.k1, self.k2, self.second_step, self.ties)
        side = self.image_size if self.enlarge else min(self.image_size, images.shape[1])
        self.size_ = -(-side // 8) * 8  # the generator doubles a side three times
        self._build(features)
        self.noise_ = training.stream(self.seed, "noise", self.device_)
        pixels = training.to_tensor(images, self.device_)  # (n, 3, h, w) uint8
        inputs = pixels
        if self.encoder == "features":
            inputs = training.to_tensor(features, self.device_)  # (n, d) float32

        history, names = self._train(inputs, pixels, similar)

        for network in self.networks_:
            network.eval()

        curves = history.unflatten(0, (self.epochs, -1)).mean(1).cpu()  # (epochs, curves)
        if "saturated" in names:
            self.facts_ |= {"saturated": float(curves[-1, names.index("saturated")])}

        self.extras_ = {"curves": curves.numpy(), "curve_names": np.array(names)}
        if self.generator_ is not None:
            shown = np.arange(min(PICTURES, len(images)))
            some = (training.rows_of(tensor, shown, self.device_) for tensor in (inputs, pixels))
            self.extras_ |= self._pictures(*some)

        return self

    def project(self, images, features):
        array = features if self.encoder == "features" else images
        size = self.batch if self.encoder in nets.PRETRAINED else ENCODED_IMAGES
        with torch.no_grad():
            blocks = training.to_tensor(array, self.device_).split(size)
            represented = [self._represent(block.to(self.device_))[0] for block in blocks]
        return torch.cat(represented).cpu().numpy()  # (m, n_bits)

    def encode(self, images, features):
        return self.project(images, features) >= 0

    def _check(self):
        """Raise ValueError for parameters that are invalid, or that change nothing together."""
        training.check_choices(self, CHOICES)
        if not 1 <= len(self.betas) <= self.epochs:
            raise ValueError(
                f"betas has {len(self.betas)} values and epochs is {self.epochs}: "
                "expected at least one value, and an epoch for each"
            )
        if self.scaling != "standard" and self.encoder != "features":
            raise ValueError(
                f"scaling is {self.scaling!r}, which changes nothing where encoder is "
                f'{self.encoder!r}: expected encoder "features", or scaling "standard"'
            )
        if self.adversarial_to_encoder and self.discriminator_sees == "noise":
            raise ValueError(
                'adversarial_to_encoder changes nothing where discriminator_sees is "noise": '
                "expected reconstructions or both"
            )

    def _build(self, features):
        """Build the networks that the losses use, each from its own random stream."""
        pretrained = self.weights, self.sha256, self.encoder_size, self.precision
        with training.initialised_by(self.seed, "encoder"):
            trunk, n_hidden = nets.trunk_of(self.encoder, features, *pretrained)
            if self.scaling != "standard":
                trunk[0] = heads.Scaling(features, self.scaling)
            noisy = self.generator_input == "noisy"
            self.encoder_ = nets.Encoder(trunk, n_hidden, self.n_bits, noisy)

        self.facts_ = {}
        if self.encoder in nets.PRETRAINED:
            self.facts_["weights_sha256"] = trunk.weights_sha256

        self.generator_ = self.discriminator_ = None
        if self.weight_pixel or self.weight_perceptual or self.weight_adversarial:
            with training.initialised_by(self.seed, "generator"):
                layout = self.size_, self.width, self.batch_norm
                self.generator_ = nets.Generator(self.n_bits, *layout)

        if self.weight_perceptual or self.weight_adversarial:
            with training.initialised_by(self.seed, "discriminator"):
                self.discriminator_ = nets.Discriminator(*layout)

        built = self.encoder_, self.generator_, self.discriminator_
        self.networks_ = [network for network in built if network is not None]
        # Channels-last took 4 to 10 % less time than contiguous, on an AMD EPYC with AVX2 too.
        for network in self.networks_:
            network.to(self.device_, memory_format=torch.channels_last)

        self.optimisers_ = [
            training.optimiser_of(network, self.optimiser, self.learning_rate, self.epsilon)
            for network in self.networks_
        ]

    def _train(self, inputs, pixels, similar):
        """Train the networks; return the curves of every batch (steps, curves) and their names."""
        n = len(inputs)
        per_epoch = n // self.batch
        steps = self.epochs * per_epoch
        checkpoint = training.Checkpoint(
            self.checkpoint, self.networks_ + self.optimisers_, self.noise_
        )
        history = checkpoint.resume()
        progress = Progress(
            f"bgan {self.n_bits} bits", total=steps, unit="batches", done=len(history)
        )

        order = training.batches(n, self.batch, self.epochs, self.seed)
        for step, (epoch, rows) in enumerate(order):
            if step < progress.done:
                continue
            beta = self.betas[epoch * len(self.betas) // self.epochs]
            rate = training.learning_rate_at(step, steps, self.learning_rate, self.schedule)
            training.set_learning_rate(self.optimisers_, rate)
            shown = rows % len(pixels)  # the images, if the rows are views
            targets = torch.from_numpy(similar[shown][:, shown].toarray() * 2.0 - 1.0).float()
            batch = [
                training.rows_of(inputs, rows, self.device_),
                training.rows_of(pixels, shown, self.device_),
            ]
            # Dropout has a stream for each step, so that a checkpoint needs no state of it.
            with training.initialised_by(self.seed, f"dropout/{step}"):
                curves = self._step(*batch, training.to_device(targets, self.device_), beta)

            curves |= {"beta": torch.full((), beta, device=self.device_)}
            history.append(torch.stack(list(curves.values())))
            progress.advance(**curves)
            checkpoint.save(history, left=steps - len(history))
            if len(history) % per_epoch == 0:
                training.check_finite(curves, epoch)

        return torch.stack(history), list(curves)

    def _represent(self, inputs):
        """Return representations z (m, n_bits), and a log-variance of this shape or None.

        inputs: uint8 images (m, 3, h, w), or float32 features (m, d).
        """
        if self.encoder == "conv":
            inputs = inputs.float() / 255 * 2 - 1
        return self.encoder_(inputs)

    def _step(self, inputs, pixels, targets, beta):
        """Update all networks once, from one forward pass.

        Returns the losses, the share of bits that are on, and the share of saturated units.
        """
        losses, codes = self._differentiate(inputs, pixels, targets, beta)
        for optimiser in self.optimisers_:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

        losses["bits on"] = (codes >= 0).float().mean()
        if self.activation in SATURATING_ACTIVATIONS:
            losses["saturated"] = (codes.abs() > SATURATION).float().mean()

        return {name: loss.detach() for name, loss in losses.items()}

    # Each network has an objective of its own: N are the losses of the codes, C of the content,
    # A is the adversarial one. The graph is cut at the rebuilt images, so that each loss passes
    # the discriminator once and the generator at most once.
    #
    #   encoder        N + C, and A with adversarial_to_encoder
    #   generator          C + A
    #   discriminator          A
    #
    #   inputs -- encoder --> codes -- generator --> rebuilt | image -- discriminator --> logits
    def _differentiate(self, inputs, pixels, targets, beta):
        """Set the gradient of each network's objective; return the losses and the codes."""
        represented, log_variance = self._represent(inputs)
        codes = ACTIVATIONS[self.activation](represented, beta)  # (B, n_bits)
        losses = {
            "neighbourhood": neighbourhood_loss(codes, targets, self.scale_by_length),
            "quantisation": quantisation_loss(codes),
        }
        weights = {
            "neighbourhood": self.weight_neighbourhood,
            "quantisation": self.weight_quantisation,
        }
        objectives = [(weighted(losses, weights), None)]  # N, a scalar
        if self.generator_ is None:
            set_gradients(objectives, [self.encoder_])
            return losses, codes

        real = resized(pixels, self.size_) / 255  # (B, 3, size, size)
        rebuilt = self.generator_(self._generator_codes(codes, represented, log_variance))
        image_losses, of_content, of_adversary = self._image_gradients(rebuilt, real)
        to_generator = added(of_content, of_adversary)
        to_encoder = to_generator if self.adversarial_to_encoder else of_content
        if to_generator is to_encoder:
            set_gradients([*objectives, (rebuilt, to_encoder)], [self.encoder_, self.generator_])
        else:
            set_gradients([(rebuilt, to_generator)], [self.generator_])
            set_gradients([*objectives, (rebuilt, to_encoder)], [self.encoder_])

        return losses | image_losses, codes

    def _image_gradients(self, rebuilt, real):
        """Return the losses of rebuilt images, and the gradients of C and A with respect to them.

        C are the losses of the content, A is the adversarial one (see `_differentiate`). A gradient
        is None if no loss with a weight depends on the rebuilt images. This method also sets the
        gradients of A in the discriminator, and in the generator if it generates from noise.
        """
        image = rebuilt.detach().requires_grad_()
        losses = {"pixel": functional.mse_loss(image, real)}
        if self.discriminator_ is not None:
            with torch.set_grad_enabled(bool(self.weight_adversarial)):
                real_logits, real_features = self.discriminator_(real)
            logits, features = self.discriminator_(image)
            losses["perceptual"] = functional.mse_loss(features, real_features.detach())

        weights = {"pixel": self.weight_pixel, "perceptual": self.weight_perceptual}
        of_content = gradient(weighted(losses, weights), image)
        if not self.weight_adversarial:
            return losses, of_content, None

        logits = self._generated_logits(logits)
        losses["adversarial"] = adversarial_loss(real_logits, logits)
        fooling = -self.weight_adversarial * functional.logsigmoid(logits).mean()
        of_adversary = None
        if self.discriminator_sees != "noise":
            of_adversary = gradient(fooling, image)

        if self.discriminator_sees != "reconstructions":
            set_gradients([(fooling, None)], [self.generator_])

        set_gradients([(losses["adversarial"], None)], [self.discriminator_])
        return losses, of_content, of_adversary

    def _generator_codes(self, codes, represented, log_variance):
        """Return what the generator is given, (B, n_bits)."""
        if self.generator_input == "binary":
            return straight_through(represented)
        if self.generator_input == "noisy":
            return codes + torch.exp(log_variance / 2) * self._noise(len(codes))
        return codes

    def _generated_logits(self, rebuilt_logits):
        """Return the logits of generated images: of reconstructions, from noise, or of both."""
        if self.discriminator_sees == "reconstructions":
            return rebuilt_logits
        sampled_logits, _ = self.discriminator_(self.generator_(self._noise(len(rebuilt_logits))))
        if self.discriminator_sees == "noise":
            return sampled_logits
        return torch.cat([rebuilt_logits, sampled_logits])

    def _noise(self, n):
        return torch.randn(n, self.n_bits, generator=self.noise_, device=self.device_)

    @torch.no_grad()
    def _pictures(self, inputs, pixels):
        """Return uint8 (m, size, size, 3): images, and generations from their codes and others."""
        codes = torch.where(self._represent(inputs)[0] >= 0, 1.0, -1.0)
        random_codes = torch.where(self._noise(len(codes)) >= 0, 1.0, -1.0)
        pictures = {
            "originals": resized(pixels, self.size_) / 255,
            "rebuilt": self.generator_(codes),
            "sampled": self.generator_(random_codes),
        }
        return {
            name: (values * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
            for name, values in pictures.items()
        }


def neighbourhood_loss(
    codes: torch.Tensor, targets: torch.Tensor, scale_by_length: bool = True
) -> torch.Tensor:
    """Return half the mean over pairs of (b_i . b_j / L - s_ij)^2, or of this without 1 / L.

    codes: (B, L); targets: (B, B) in {-1, +1}.
    """
    products = codes @ codes.T / (codes.shape[1] if scale_by_length else 1)  # (B, B)
    return 0.5 * (products - targets).square().mean()


def quantisation_loss(codes: torch.Tensor) -> torch.Tensor:
    """Return the mean of (b - sign b)^2, from the released code. codes: (B, L)."""
    return (codes - torch.where(codes >= 0, 1.0, -1.0).detach()).square().mean()


def adversarial_loss(real_logits: torch.Tensor, generated_logits: torch.Tensor) -> torch.Tensor:
    """Return -mean log D(I) - mean log(1 - D(I^)), what the discriminator minimises."""
    of_real = -functional.logsigmoid(real_logits).mean()
    return of_real - functional.logsigmoid(-generated_logits).mean()


def weighted(losses: dict[str, torch.Tensor], weights: dict[str, float]) -> torch.Tensor | None:
    """Return the weighted sum of the losses whose weight is not 0; None if there is none."""
    terms = [weight * losses[name] for name, weight in weights.items() if weight]
    return sum(terms) if terms else None


def added(one: torch.Tensor | None, other: torch.Tensor | None) -> torch.Tensor | None:
    """Return the sum of two gradients, either of which may be None."""
    if one is None or other is None:
        return other if one is None else one
    return one + other


def gradient(objective: torch.Tensor | None, tensor: torch.Tensor) -> torch.Tensor | None:
    """Return the gradient of an objective with respect to a tensor."""
    if objective is None:
        return None
    return torch.autograd.grad(objective, tensor, retain_graph=True)[0]


def set_gradients(
    outputs: list[tuple[torch.Tensor | None, torch.Tensor | None]], networks: list[torch.nn.Module]
) -> None:
    """Add gradients to the parameters of the networks, and to nothing else.

    outputs: pairs of a scalar objective and None, or of a tensor and the gradient of the objective
    with respect to it. A pair of which nothing is known adds nothing.
    """
    outputs = [
        (tensor, weight)
        for tensor, weight in outputs
        if tensor is not None and (weight is not None or tensor.ndim == 0)
    ]
    if not outputs:
        return

    tensors, weights = zip(*outputs, strict=True)
    parameters = [parameter for network in networks for parameter in network.parameters()]
    gradients = torch.autograd.grad(
        tensors, parameters, weights, retain_graph=True, allow_unused=True
    )
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient

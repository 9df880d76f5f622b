"""Compact binary descriptors by quantisation and even distribution, on any features."""

from methods._deepbit import OneLayer, Stage


class DeepBit(OneLayer):
    """One linear layer on frozen features, trained so that its outputs are near 0 or 1, and so that every bit is on half the time.

    Source: Lin et al., CVPR 2016, section 3, and the authors' code, github.com/kevinlin311tw/cvpr16-deepbit: optimiser, schedule,
    batch, dropout and the one threshold at the mean of all outputs.
    Differs from the paper: no second stage, which holds together the codes of an image and of its rotations, since features of rotated
    images are not given; `deepbit_rotation` has it. True gradients: the released layers' add up to zero. The step function of the even
    distribution is flat, so its gradient is taken to be that of the output. The released losses are both divided by the batch, and one
    of them already is a mean over it: with true gradients and equal weights every bit then ends up off. weight_even undoes that
    division, by the first stage's batch. The images are whole, not cropped or mirrored at random. Features are centred and scaled as a
    whole, since theirs were of one network. threshold: "global", as released, or "per-bit", the mean of each.
    """

    label, citation, uses_gpu = "DeepBit-style, no rotation", "lin2016learning", False
    memory_params = ("batch",)

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        weight_quantisation=1.0,
        weight_even=32.0,
        iterations=50000,
        step=25000,
        learning_rate=0.001,
        momentum=0.9,
        weight_decay=0.0005,
        batch=32,
        dropout=0.5,
        threshold="global",
    ):
        self.n_bits, self.seed = n_bits, seed
        self.weight_quantisation, self.weight_even = weight_quantisation, weight_even
        self.iterations, self.step, self.batch = iterations, step, batch
        self.learning_rate, self.momentum, self.weight_decay = learning_rate, momentum, weight_decay
        self.dropout, self.threshold = dropout, threshold

    def fit(self, features):
        self._first_stage(
            features, Stage(self.iterations, self.step, self.learning_rate, self.batch)
        )
        self._cut(features)
        return self

    def encode(self, features):
        return self._codes(features)

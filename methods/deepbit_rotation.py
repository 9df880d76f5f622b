"""Compact binary descriptors by quantisation, even distribution and invariance to rotation."""

import numpy as np
import torch
from scipy import ndimage

from harness import imagenet
from harness.errors import BenchmarkError
from harness.progress import Progress
from methods._deepbit import CHOICES, OneLayer, Stage, even_loss, quantisation_loss, rotation_loss
from methods._nets import Pretrained
from methods._training import check_choices, initialised_by, to_tensor

ANGLES = (-10, -5, 0, 5, 10)  # degrees
# The weight of a rotation by each angle: a Gaussian over the positions 1 to 5 in ANGLES.
NEARNESS = tuple(float(np.exp(-((position - 3) ** 2) / 2)) for position in range(1, 6))
BLOCK = 32  # images that are rotated and passed to the network at a time
TOLERANCE = 0.01  # relative error of given features, against those of the network


class DeepBitRotation(OneLayer):
    """DeepBit with its second stage, in which an image and its rotations get similar codes.

    Source: Lin et al., CVPR 2016, section 3, and the authors' code,
    github.com/kevinlin311tw/cvpr16-deepbit: angles and their weights, weights of the losses, and
    batches, schedule and rates of both stages.

    Differs from the paper:

    - As `deepbit`, which is its first stage.
    - The released gradient of the rotation leaves out the weights of the angles; here it does not.
    - Pairs of the second stage come in order: each image with its five rotations, then the next
      image. The released order is not known.
    - The images are whole, not cropped or mirrored at random, so that a frozen network sees each
      angle once. Dropout is before the layer, not within the network too.
    - Images are rotated by bilinear interpolation at their own size, with black corners, before
      they are resized.

    Parameters
    ----------
    n_bits : int
    seed : int
    encoder, weights, sha256, encoder_size
        The network that computed `features`; see `Pretrained`. Features of another one are an
        error.
    start, weight_quantisation, weight_even, momentum, weight_decay, dropout, relu, threshold
        As of `deepbit`.
    weight_rotation : float
        Of the rotation loss.
    iterations, step, learning_rate, batch : pair
        As of `deepbit`, of the first and of the second stage.
    """

    label, citation, uses_gpu = "DeepBit-style (default)", "lin2016learning", True
    encoder_param, weights_param, digest_param = "encoder", "weights", "sha256"
    memory_params = ("batch", "encoder_size")
    tier, fidelity = "images", "C"
    search_space = {
        "start": (25.0, 50.0, 100.0),
        "weight_even": (1.0, 32.0, 100.0),
        "weight_rotation": (0.0001, 0.001, 0.01),
        "relu": (True, False),
        "threshold": ("global", "per-bit"),
    }

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        encoder="vgg16",
        weights=None,
        sha256=None,
        encoder_size=224,
        start=50.0,
        weight_quantisation=1.0,
        weight_even=32.0,
        weight_rotation=0.001,
        iterations=(50000, 5000),
        step=(25000, 1000),
        learning_rate=(0.001, 0.0001),
        momentum=0.9,
        weight_decay=0.0005,
        batch=(32, 30),
        dropout=0.5,
        relu=True,
        threshold="global",
    ):
        self.n_bits, self.seed, self.start = n_bits, seed, start
        self.encoder, self.weights, self.sha256 = encoder, weights, sha256
        self.encoder_size = encoder_size
        self.weight_quantisation, self.weight_even = weight_quantisation, weight_even
        self.weight_rotation = weight_rotation
        self.iterations, self.step, self.batch = iterations, step, batch
        self.learning_rate, self.momentum, self.weight_decay = learning_rate, momentum, weight_decay
        self.dropout, self.relu, self.threshold = dropout, relu, threshold

    def fit(self, images, features):
        check_choices(self, CHOICES | {"encoder": tuple(imagenet.NETWORKS)})
        pairs = self.iterations, self.step, self.learning_rate, self.batch
        first, second = (Stage(*numbers) for numbers in zip(*pairs, strict=True))
        rotations = self._rotations(images, features)
        self._first_stage(features, first)
        self._second_stage(rotations, second)
        self._fix_threshold(features)
        return self

    def encode(self, features):
        return self._codes(features)

    def _rotations(self, images: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Return features (5, n, d) of the training images rotated by each of ANGLES.

        Those of no rotation are the given ones.
        """
        trunk = self._trunk()
        self._check_same(self._seen_by(trunk, images[:BLOCK]), features[:BLOCK])
        rotations = np.empty((len(ANGLES), *features.shape), dtype=np.float32)
        progress = Progress("rotated images", total=len(images) * (len(ANGLES) - 1), unit="images")
        for angle, rows in zip(ANGLES, rotations, strict=True):
            if angle == 0:
                rows[:] = features
                continue
            for start in range(0, len(images), BLOCK):
                block = slice(start, start + BLOCK)
                rows[block] = self._seen_by(trunk, rotated(images[block], angle))
                progress.advance(len(rows[block]))

        return rotations

    def _trunk(self) -> Pretrained:
        self.device_ = imagenet.device(tf32=True)
        trunk = Pretrained(self.encoder, self.weights, self.sha256, self.encoder_size, "float32")
        self.facts_ = {"weights_sha256": trunk.weights_sha256}
        return trunk.eval().to(self.device_, memory_format=torch.channels_last)

    @torch.no_grad()
    def _seen_by(self, trunk: Pretrained, images: np.ndarray) -> np.ndarray:
        """Return the features (m, d) of images (m, h, w, 3) uint8."""
        return trunk(to_tensor(images, self.device_)).cpu().numpy()

    def _check_same(self, computed: np.ndarray, features: np.ndarray) -> None:
        """Raise BenchmarkError if features are not those that the network computes."""
        same = computed.shape == features.shape
        if same:
            same = np.linalg.norm(computed - features) <= TOLERANCE * np.linalg.norm(features)

        if not same:
            raise BenchmarkError(
                f"the features given are not those of {self.encoder} with these weights at "
                f"{self.encoder_size} pixels: set encoder, weights, sha256 and encoder_size to "
                "the network that computed them, or run deepbit, which has no rotation stage"
            )

    def _second_stage(self, rotations: np.ndarray, stage: Stage) -> None:
        """Train the layer further on pairs of an image and its rotation, for all objectives.

        rotations: features (5, n, d).
        """
        n_pairs = rotations.shape[1] * len(ANGLES)
        nearness = torch.tensor(NEARNESS)
        upright = ANGLES.index(0)

        def losses(step: int) -> dict[str, torch.Tensor]:
            pairs = np.arange(step * stage.batch, (step + 1) * stage.batch) % n_pairs
            rows, angles = np.divmod(pairs, len(ANGLES))  # (batch,) each
            images, turned = (
                self._trained_outputs(self._scaled(rotations[angle, rows]))  # (batch, n_bits)
                for angle in (upright, angles)
            )
            return {
                "quantisation": quantisation_loss(images) + quantisation_loss(turned),
                "even distribution": even_loss(images) + even_loss(turned),
                "rotation": rotation_loss(images, turned, nearness[angles]),
            }

        weights = {
            "quantisation": self.weight_quantisation,
            "even distribution": self.weight_even,
            "rotation": self.weight_rotation,
        }
        with initialised_by(self.seed, "rotation"):
            curves = self._descend(losses, weights, stage, n_pairs)

        self.extras_ = {
            "first_stage": self.extras_["curves"],
            "curves": curves,
            "curve_names": np.array(list(weights)),
        }

    def _scaled(self, features: np.ndarray) -> torch.Tensor:
        """Return features (batch, d) as the layer is trained on them."""
        return (torch.from_numpy(features) - torch.from_numpy(self.mean_)) * self.scale_


def rotated(images: np.ndarray, angle: float) -> np.ndarray:
    """Return images (m, h, w, 3) uint8 rotated about their centres by an angle in degrees.

    Interpolation is bilinear, and corners without an image are black.
    """
    return ndimage.rotate(images, angle, axes=(2, 1), reshape=False, order=1)

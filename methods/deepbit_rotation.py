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
NEARNESS = tuple(
    float(np.exp(-((place - 3) ** 2) / 2)) for place in range(1, 6)
)  # what a rotation by each angle weighs
ROTATED = 32  # images that are rotated and given to the network at a time


class DeepBitRotation(OneLayer):
    """DeepBit with its second stage, in which the codes of an image and of its rotations are held together.

    Source: Lin et al., CVPR 2016, section 3, and the authors' code, github.com/kevinlin311tw/cvpr16-deepbit: angles and their weights,
    weights of the losses, and of both stages batches, schedule and rates; each pair in keywords is the first stage's and the second's.
    Differs from the paper: as `deepbit`, which is its first stage. In the second, the released gradient of the rotation leaves out the
    weights of the angles; here it does not. Its pairs go through in order: each image beside its five rotations, then the next image;
    in which order theirs were is not known. The images are whole, not cropped or mirrored at random, so that a frozen network sees each
    angle once; dropout is before the layer alone, not within the network too. Images are rotated by bilinear interpolation at their own
    size, black where nothing is left, before they are resized.

    encoder, weights, sha256, encoder_size: the network that made `features`, as Pretrained takes them; others than it made are an error.
    """

    label, citation, uses_gpu = "DeepBit-style", "lin2016learning", True
    encoder_param, weights_param, digest_param = "encoder", "weights", "sha256"
    memory_params = ("batch", "encoder_size")

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        encoder="vgg16",
        weights=None,
        sha256=None,
        encoder_size=224,
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
        threshold="global",
    ):
        self.n_bits, self.seed = n_bits, seed
        self.encoder, self.weights, self.sha256, self.encoder_size = (
            encoder,
            weights,
            sha256,
            encoder_size,
        )
        self.weight_quantisation, self.weight_even, self.weight_rotation = (
            weight_quantisation,
            weight_even,
            weight_rotation,
        )
        self.iterations, self.step, self.learning_rate, self.batch = (
            iterations,
            step,
            learning_rate,
            batch,
        )
        self.momentum, self.weight_decay = momentum, weight_decay
        self.dropout, self.threshold = dropout, threshold

    def fit(self, images, features):
        check_choices(self, CHOICES | {"encoder": tuple(imagenet.NETWORKS)})
        first, second = (
            Stage(*numbers)
            for numbers in zip(
                self.iterations, self.step, self.learning_rate, self.batch, strict=True
            )
        )
        rotations = self._rotations(images, features)
        self._first_stage(features, first)
        self._second_stage(rotations, second)
        self._cut(features)
        return self

    def encode(self, features):
        return self._codes(features)

    def _rotations(self, images: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Features (5, n, d) of the training images rotated by each of ANGLES; by none, those that were given."""
        trunk = self._trunk()
        self._check_same(self._seen_by(trunk, images[:ROTATED]), features[:ROTATED])
        rotations = np.empty((len(ANGLES), *features.shape), dtype=np.float32)
        progress = Progress("rotated images", total=len(images) * (len(ANGLES) - 1), unit="images")
        for angle, rows in zip(ANGLES, rotations, strict=True):
            if angle == 0:
                rows[:] = features
                continue
            for start in range(0, len(images), ROTATED):
                block = slice(start, start + ROTATED)
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
        return trunk(to_tensor(images, self.device_)).cpu().numpy()

    def _check_same(self, found: np.ndarray, features: np.ndarray) -> None:
        """Raise BenchmarkError if features are not what the network makes of the images."""
        if found.shape != features.shape or np.linalg.norm(
            found - features
        ) > 0.01 * np.linalg.norm(features):
            raise BenchmarkError(
                f"the features given are not those of {self.encoder} with these weights at {self.encoder_size} pixels: set encoder, "
                "weights, sha256 and encoder_size to what made them, or run deepbit, which has no rotation stage"
            )

    def _second_stage(self, rotations: np.ndarray, stage: Stage) -> None:
        """Train the layer further on pairs of an image and its rotation, for all three objectives."""
        pairs, nearness = rotations.shape[1] * len(ANGLES), torch.tensor(NEARNESS)

        def losses(step: int) -> dict[str, torch.Tensor]:
            rows, angles = np.divmod(
                np.arange(step * stage.batch, (step + 1) * stage.batch) % pairs, len(ANGLES)
            )
            both = [
                self._trained_outputs(
                    (torch.from_numpy(seen) - torch.from_numpy(self.mean_)) * self.scale_
                )  # (batch, n_bits)
                for seen in (rotations[ANGLES.index(0), rows], rotations[angles, rows])
            ]
            return {
                "quantisation": sum(quantisation_loss(outputs) for outputs in both),
                "even distribution": sum(even_loss(outputs) for outputs in both),
                "rotation": rotation_loss(*both, nearness[angles]),
            }

        weights = {
            "quantisation": self.weight_quantisation,
            "even distribution": self.weight_even,
            "rotation": self.weight_rotation,
        }
        with initialised_by(self.seed, "rotation"):
            curves = self._descend(losses, weights, stage, pairs)
        self.extras_ = {
            "first_stage": self.extras_["curves"],
            "curves": curves,
            "curve_names": np.array(list(weights)),
        }


def rotated(images: np.ndarray, angle: float) -> np.ndarray:
    """Images (m, h, w, 3) uint8 rotated about their centres by `angle` degrees, bilinear, at their own size; black where none is left."""
    return ndimage.rotate(images, angle, axes=(2, 1), reshape=False, order=1)

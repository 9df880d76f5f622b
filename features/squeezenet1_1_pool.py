"""The last maps of SqueezeNet 1.1, the smallest of the networks."""

from features._network import NetworkExtractor


class SqueezeNet11Pool(NetworkExtractor):
    """The mean of SqueezeNet 1.1's last maps before its classifier (fire9): d = 512.

    The image is resized to 224 x 224 pixels, bilinear and antialiased, none of it cut off (`crop` keeps a central part of a larger
    `resize`); RGB in 0..1 minus (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225).

    Source: Iandola et al., arXiv 1602.07360, and the authors' release of version 1.1.
    """

    label, citation, uses_gpu = "SqueezeNet 1.1 pool", "iandola2016squeezenet", True
    network = "squeezenet1_1"

    def __init__(
        self, *, weights="weights/squeezenet1_1-b8a52dc0.pth", sha256=None, resize=224, crop=224
    ):
        super().__init__(weights=weights, sha256=sha256, resize=resize, crop=crop)

    def extract(self, images):
        return self.penultimate(images)

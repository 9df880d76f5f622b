"""The last pooling of ResNet-50."""

from features._network import NetworkExtractor


class ResNet50Pool5(NetworkExtractor):
    """pool5 of ResNet-50, the mean of the last maps: d = 2048.

    The image is resized to 224 x 224 pixels, bilinear and antialiased, none of it cut off (`crop` keeps a central part of a larger
    `resize`); RGB in 0..1 minus (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225).

    Source: He et al., CVPR 2016.
    """

    label, citation, uses_gpu = "ResNet-50 pool5", "he2016deep", True
    network = "resnet50"

    def __init__(
        self, *, weights="weights/resnet50-0676ba61.pth", sha256=None, resize=224, crop=224
    ):
        super().__init__(weights=weights, sha256=sha256, resize=resize, crop=crop)

    def extract(self, images):
        return self.penultimate(images)

"""The last hidden layer of AlexNet."""

from features._network import NetworkExtractor


class AlexNetFC7(NetworkExtractor):
    """fc7 of AlexNet (single column) after its ReLU: d = 4096.

    The image is resized to 224 x 224 pixels, bilinear and antialiased, none of it cut off (`crop` keeps a central part of a larger
    `resize`); RGB in 0..1 minus (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225).

    Source: Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014.
    """

    label, citation, uses_gpu = "AlexNet fc7", "krizhevsky2014one", True
    network = "alexnet"

    def __init__(
        self, *, weights="weights/alexnet-owt-7be5be79.pth", sha256=None, resize=224, crop=224
    ):
        super().__init__(weights=weights, sha256=sha256, resize=resize, crop=crop)

    def extract(self, images):
        return self.penultimate(images)

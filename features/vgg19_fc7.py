"""The last hidden layer of VGG-19, BGAN's encoder."""

from features._network import NetworkExtractor


class VGG19FC7(NetworkExtractor):
    """fc7 of VGG-19 after its ReLU: d = 4096.

    The image is resized to 224 x 224 pixels, bilinear and antialiased, none of it cut off (`crop` keeps a central part of a larger
    `resize`); RGB in 0..1 minus (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225).

    Source: Simonyan & Zisserman, ICLR 2015.
    """

    label, citation, uses_gpu = "VGG-19 fc7", "simonyan2015very", True
    network = "vgg19"

    def __init__(self, *, weights="weights/vgg19-dcbb9e9d.pth", sha256=None, resize=224, crop=224):
        super().__init__(weights=weights, sha256=sha256, resize=resize, crop=crop)

    def extract(self, images):
        return self.penultimate(images)

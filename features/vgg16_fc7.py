"""The last hidden layer of VGG-16, the features of most hashing papers."""

from features._network import NetworkExtractor


class VGG16FC7(NetworkExtractor):
    """fc7 of VGG-16 after its ReLU: d = 4096.

    Source: Simonyan & Zisserman, ICLR 2015.
    """

    label, citation, network = "VGG-16 fc7", "simonyan2015very", "vgg16"

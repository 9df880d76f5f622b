"""The last hidden layer of VGG-19, BGAN's encoder."""

from features._network import NetworkExtractor


class VGG19FC7(NetworkExtractor):
    """fc7 of VGG-19 after its ReLU: d = 4096.

    Source: Simonyan & Zisserman, ICLR 2015.
    """

    label, citation, network = "VGG-19 fc7", "simonyan2015very", "vgg19"

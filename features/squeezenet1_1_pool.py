"""The last maps of SqueezeNet 1.1, the smallest of the networks."""

from features._network import NetworkExtractor


class SqueezeNet11Pool(NetworkExtractor):
    """The mean of the last maps of SqueezeNet 1.1 before its classifier (fire9): d = 512.

    Source: Iandola et al., arXiv 1602.07360, and the authors' release of version 1.1.
    """

    label, citation, network = "SqueezeNet 1.1 pool", "iandola2016squeezenet", "squeezenet1_1"

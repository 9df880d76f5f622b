"""The last pooling of ResNet-50."""

from features._network import NetworkExtractor


class ResNet50Pool5(NetworkExtractor):
    """pool5 of ResNet-50, the mean of the last maps: d = 2048.

    Source: He et al., CVPR 2016.
    """

    label, citation, network = "ResNet-50 pool5", "he2016deep", "resnet50"

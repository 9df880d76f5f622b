"""The last hidden layer of AlexNet."""

from features._network import NetworkExtractor


class AlexNetFC7(NetworkExtractor):
    """fc7 of AlexNet (single column) after its ReLU: d = 4096.

    Source: Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014.
    """

    label, citation, network = "AlexNet fc7", "krizhevsky2014one", "alexnet"

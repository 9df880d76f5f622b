"""Floor 2: one file is one extractor, image -> vector; and the neighbour lists of the training images."""

"""Features of images: each file is one extractor. Neighbour lists of the training images."""

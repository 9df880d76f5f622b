"""Stage 1: one file is one data set with its protocols.

A protocol states which images are queries, database and training images, and what is relevant.
"""

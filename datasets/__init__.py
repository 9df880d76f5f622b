"""Floor 1: one file is one data set with its protocols: who is query, database and training, and what is relevant."""

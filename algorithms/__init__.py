"""Learning algorithms: each folder is one published algorithm with the same file names in it."""

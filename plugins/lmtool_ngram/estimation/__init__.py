"""From a text to a model on disk: counting, smoothing, pruning. `engine` is where it begins."""

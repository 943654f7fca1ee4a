"""What learns from a model: the forward with gradients, and smaller stages from larger ones."""

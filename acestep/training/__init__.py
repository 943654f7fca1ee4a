"""What learns from a model: the forward with gradients, LoRA layers, and smaller stages from larger ones."""

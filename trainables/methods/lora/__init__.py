"""LoRA (arXiv 2106.09685), its variants and its initial values."""

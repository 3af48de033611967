"""The pretrained model: its files, weights, architecture and layers."""

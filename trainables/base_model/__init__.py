"""The pretrained model: its files, config, weights, architecture and layers."""

"""Segmentation networks: encoders of timm, decoders, and their pretrained weights."""

"""Trials on disk or in object storage, each finished exactly once; reading them again."""

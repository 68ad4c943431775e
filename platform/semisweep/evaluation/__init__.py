"""Finished trials looked at again: further protocols, masks, quality of labels."""

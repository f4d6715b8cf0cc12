"""Several processes that work as one: which one this is (`process`), what they exchange (`world`), how they start.

Nothing is imported here: `process` needs no torch.
"""

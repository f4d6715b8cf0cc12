"""Several processes that work as one: who they are (`place`), what they tell each other (`world`), how they start.

Nothing is imported here, so that whoever only asks for its place does not load torch.
"""

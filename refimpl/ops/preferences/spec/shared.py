"""What losses of pairs and of words have in common."""


def choose(*numbers):
    """One of the customary values of a setting."""
    return lambda source, sizes: source.choice(list(numbers))

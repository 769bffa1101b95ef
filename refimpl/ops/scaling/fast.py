"""Twins of the scaling laws in the precision of their arguments: same names, same steps."""


def power_law_loss(sizes, scale, exponent):
    number = sizes.dtype.type
    return (number(scale) / sizes) ** number(exponent)


def chinchilla_loss(parameters, tokens, entropy, width, alpha, length, beta):
    number = parameters.dtype.type
    wide = number(width) / parameters ** number(alpha)
    return number(entropy) + wide + number(length) / tokens ** number(beta)


def chinchilla_optimum(compute, width, alpha, length, beta):
    number = compute.dtype.type
    share = beta / (alpha + beta)
    balance = number((alpha * width / (beta * length)) ** (1 / (alpha + beta)))
    pairs = compute / number(6)
    return balance * pairs ** number(share), pairs ** number(1 - share) / balance

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


def training_flops(parameters, tokens, layers, width, context):
    number = parameters.dtype.type
    return tokens * (number(6) * parameters + number(12) * layers * width * context)


def _blocks(width, layers):
    number = width.dtype.type
    return layers * (number(12) * width * width + number(13) * width)


def gpt_parameters(width, layers, vocabulary, context):
    return (vocabulary + context) * width + _blocks(width, layers) + width.dtype.type(2) * width


def llama_parameters(width, layers, hidden, shared, vocabulary):
    two, three = width.dtype.type(2), width.dtype.type(3)
    blocks = layers * width * (two * (width + shared) + three * hidden + two)
    return two * vocabulary * width + blocks + width


def bert_parameters(width, layers, vocabulary, context):
    number = width.dtype.type
    tables = (vocabulary + context + number(5)) * width
    return tables + _blocks(width, layers) + width * width


def t5_parameters(width, layers, hidden, inner, heads, vocabulary):
    number = width.dtype.type
    blocks = layers * width * (number(12) * inner + number(4) * hidden + number(5))
    return vocabulary * width + number(64) * heads + blocks + number(2) * width

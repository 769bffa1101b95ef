"""What is known about vit_tokens and its gradient: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Edit, Law, Op, Probe
from refimpl.ops.common import cosines, sines
from refimpl.ops.patch_embedding import reference as text


def vit_tokens_equation(f, patches, class_token, positions):
    tokens = f(patches, class_token, positions)
    yield tokens[:, 0], 0 * tokens[:, 0] + (class_token + positions[0])
    yield tokens[:, 1:], patches + positions[1:]


def vit_tokens_without_positions(f, patches, class_token, positions):
    tokens = f(patches, class_token, 0 * positions)
    yield tokens[:, 0], 0 * tokens[:, 0] + class_token
    yield tokens[:, 1:], patches


def vit_tokens_only_positions(f, patches, class_token, positions):
    tokens = f(0 * patches, 0 * class_token, positions)
    yield tokens, 0 * tokens + positions


def vit_tokens_permuted(f, patches, class_token, positions):
    order = np.concatenate(([0], np.arange(len(positions) - 1, 0, -1)))
    tokens = f(patches[:, ::-1], class_token, positions[order])
    yield tokens, f(patches, class_token, positions)[:, order]


def vit_tokens_first_patch_as_class(f, patches, class_token, positions):
    if patches.shape[0] and patches.shape[1] > 1:
        rest = f(patches[:1, 1:], patches[0, 0], positions[1:])
        yield rest, f(patches[:1], class_token, positions)[:, 1:]


def vit_tokens_linear(f, patches, class_token, positions):
    yield f(3 * patches, 3 * class_token, 3 * positions), 3 * f(patches, class_token, positions)


VIT_TOKENS = Op(
    text.vit_tokens,
    laws=(
        Law("token 0 is the class token, the others are patches", vit_tokens_equation),
        Law("without positions the tokens are joined unchanged", vit_tokens_without_positions),
        Law("zero patches leave the positions alone", vit_tokens_only_positions),
        Law("patches and their positions may be permuted together", vit_tokens_permuted),
        Law("the first patch may serve as class token", vit_tokens_first_patch_as_class),
        Law("the tokens are linear in patches, class token and positions", vit_tokens_linear),
    ),
    probes=(
        Probe(
            "two images, three patches, distinct rows of positions",
            lambda: {
                "patches": sines(2, 3, 4),
                "class_token": cosines(4),
                "positions": np.arange(16.0).reshape(4, 4),
            },
        ),
        Probe(
            "one patch",
            lambda: {
                "patches": sines(1, 1, 2),
                "class_token": np.array([5.0, -5.0]),
                "positions": np.array([[1.0, 2.0], [3.0, 4.0]]),
            },
        ),
    ),
    mistakes=(
        Edit(
            "vit_tokens/positions-before-class-token",
            "adds positions to the patches, then prepends the class token without one",
            "np.concatenate((first, patches), axis=1) + positions",
            "np.concatenate((first, patches + positions[1:]), axis=1)",
            effect="the class token has no position; right for DeiT III",
            source="https://github.com/labmlai/annotated_deep_learning_paper_implementations/pull/221",
            invisible_when="row 0 of the positions is zero",
        ),
        Edit(
            "vit_tokens/positions-shifted-by-one",
            "gives patch n row n of the positions",
            "axis=1) + positions",
            "axis=1) + np.concatenate((positions[:1], positions[:-1]))",
            effect="every patch takes the position of its left neighbour",
            source="https://github.com/NVIDIA/Megatron-LM/pull/6260",
            invisible_when="all rows of the positions are equal",
        ),
        Edit(
            "vit_tokens/class-token-last",
            "appends the class token",
            "(first, patches)",
            "(patches, first)",
            effect="index 0 is a patch, not the class token",
            invisible_when="tokens are averaged and positions absent",
        ),
        Edit(
            "vit_tokens/positions-along-the-batch",
            "adds row b of the positions to image b instead of row n to token n",
            "axis=1) + positions",
            "axis=1) + positions[:B, None]",
            effect="equal images differ, permuted patches do not",
            source="https://github.com/pytorch/examples/issues/1178",
            invisible_when="all rows of the positions are equal",
        ),
        Edit(
            "vit_tokens/no-positions",
            "forgets the positions",
            "axis=1) + positions",
            "axis=1)",
            effect="the order of the patches is lost",
            invisible_when="the positions are zero",
        ),
        Edit(
            "vit_tokens/scaled-embeddings",
            "multiplies the embeddings by the root of their width, as the first Transformer did",
            "return np.concatenate",
            "return np.sqrt(D) * np.concatenate",
            effect="positions weigh too little",
            invisible_when="the width is one",
        ),
    ),
)


def vit_tokens_vjp_equation(f, grad):
    patches_grad, class_token_grad, positions_grad = f(grad)
    yield patches_grad, grad[:, 1:]
    yield class_token_grad, np.sum(grad[:, 0], axis=0)
    yield positions_grad, np.sum(grad, axis=0)


def vit_tokens_vjp_adjoint(f, grad):
    class_token, positions = grad[:1, 0], cosines(*grad.shape[1:])
    if len(grad):
        patches_grad, class_token_grad, positions_grad = f(grad)
        tokens = text.vit_tokens(grad[::-1, 1:], class_token[0], positions)
        pulled = np.sum(patches_grad * grad[::-1, 1:]) + np.sum(class_token_grad * class_token)
        yield np.sum(grad * tokens), pulled + np.sum(positions_grad * positions)


def vit_tokens_vjp_positions(f, grad):
    patches_grad, class_token_grad, positions_grad = f(grad)
    yield positions_grad[1:], np.sum(patches_grad, axis=0)
    yield positions_grad[0], class_token_grad


def vit_tokens_vjp_images_add_up(f, grad):
    whole, first, rest = f(grad), f(grad[:1]), f(grad[1:])
    for i in (1, 2):
        yield first[i] + rest[i], whole[i]


VIT_TOKENS_VJP = Op(
    text.vit_tokens_vjp,
    laws=(
        Law(
            "the gradients of patches are slices of grad, the others are sums over images",
            vit_tokens_vjp_equation,
        ),
        Law("is adjoint to the forward operation", vit_tokens_vjp_adjoint),
        Law(
            "the gradient of the positions holds those of class token and patches",
            vit_tokens_vjp_positions,
        ),
        Law(
            "the gradients of class token and positions are sums over the images",
            vit_tokens_vjp_images_add_up,
        ),
        LINEAR_IN_GRAD,
    ),
    probes=(
        Probe("two images, three patches", lambda: {"grad": sines(2, 4, 3)}),
        Probe("one patch", lambda: {"grad": sines(3, 2, 2)}),
    ),
    mistakes=(
        Edit(
            "vit_tokens_vjp/averaged",
            "averages over the images",
            "np.sum(grad, axis=0)",
            "np.sum(grad, axis=0) / len(grad)",
            effect="divided twice where the loss is a mean already",
            invisible_when="there is one image",
        ),
        Edit(
            "vit_tokens_vjp/first-image-alone",
            "keeps the first image's gradient of class token and positions instead of the sum",
            "np.sum(grad, axis=0)",
            "grad[0]",
            effect="the rest of the batch has no effect",
            invisible_when="there is one image",
        ),
        Edit(
            "vit_tokens_vjp/class-token-summed-over-tokens",
            "gives the class token the gradients of all tokens",
            "positions_grad[0],",
            "np.sum(positions_grad, axis=0),",
            effect="the class token gets the gradients of the patches",
        ),
        Edit(
            "vit_tokens_vjp/class-token-last",
            "takes the last token for the class token",
            "return grad[:, 1:], positions_grad[0],",
            "return grad[:, :-1], positions_grad[-1],",
            effect="each patch gets its right neighbour's gradient",
        ),
        Edit(
            "vit_tokens_vjp/patches-shifted",
            "gives patch n the gradient of token n",
            "grad[:, 1:]",
            "grad[:, :-1]",
            effect="each patch gets its left neighbour's gradient",
        ),
        Edit(
            "vit_tokens_vjp/position-of-the-class-token-fixed",
            "gives the position of the class token no gradient",
            "    return grad[:, 1:], positions_grad[0], positions_grad",
            "    rest = np.concatenate((0 * positions_grad[:1], positions_grad[1:]))\n"
            "    return grad[:, 1:], positions_grad[0], rest",
            effect="row 0 of the positions stays as it was; right for DeiT III",
        ),
    ),
    outputs=("patches_grad", "class_token_grad", "positions_grad"),
)

"""Convolution by transforms: the same sums from other products, with errors of their own.

Winograd's forms read the image in tiles of m + 2 by m + 2 pixels that give m by m outputs each.
They apply to kernels of 3 by 3 that move by one pixel; everything else is summed as ever. A pixel
that is large leaves its roundings in outputs of its tile, also where the kernel's tap on it is 0.
Fourier's form turns the whole padded image and each kernel into waves, for any kernel, stride and
dilation: a large pixel leaves its roundings everywhere. Its transforms are written as the sums that
they are; a fast one adds the same terms in fewer steps, and errs less.
In half formats the bounds of both are as large as the answer and explain nothing.
"""

from refimpl.op import Edit

SUMS = "sums = correlated(met, kernels)"

TILED = """sums = correlated(met, kernels)
    if side == 3 and stride == 1 and dilation == 1:
        m, into, of_kernel, back = {m}, np.array({into}), np.array({of_kernel}), np.array({back})
        tiles = windows(images, m + 2, m, before, after + m - 1, 1)
        tiles = into @ tiles @ into.T  # B G*C tiles tiles m+2 m+2
        tiles = np.reshape(tiles, (len(images), groups, C, *tiles.shape[2:]))
        kernels = of_kernel @ kernels @ of_kernel.T / {whole}  # G O C m+2 m+2
        products = np.einsum("bgcyxpq,gocpq->bgoyxpq", tiles, kernels)
        found = np.swapaxes(back @ products @ back.T, 4, 5)  # B G O tiles m tiles m
        B, _, _, tall, _, wide, _ = found.shape
        found = np.reshape(found, (B, outputs, tall * m, wide * m))
        sums = found[:, :, : met.shape[2], : met.shape[3]]"""

TWO = {
    "m": 2,
    "into": [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
    "of_kernel": [[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]],
    "whole": 4,
    "back": [[1, 1, 1, 0], [0, 1, -1, -1]],
}
FOUR = {
    "m": 4,
    "into": [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    "of_kernel": [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]],
    "whole": 576,
    "back": [
        [1, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
    ],
}


def winograd(tiles: dict) -> Edit:
    """The form that computes m by m outputs at once."""
    m = tiles["m"]
    return Edit(
        f"conv2d/winograd-{m}",
        f"multiplies transformed tiles of {m + 2} × {m + 2} pixels, Winograd's F({m}×{m}, 3×3)",
        SUMS,
        TILED.format(**tiles),
        effect="a large pixel leaves its roundings in all outputs of its tile",
        source='Lavin and Gray 2016, "Fast algorithms for convolutional neural networks"',
        invisible_when="the kernel is not 3 × 3, or moves by more than a pixel",
        precisions=("float64", "float32"),
    )


WINOGRAD = (winograd(TWO), winograd(FOUR))

WAVES = """edges = (before, after)
    seen = np.pad(images, ((0, 0), (0, 0), edges, edges))
    tall, wide = seen.shape[2:]
    seen = np.reshape(seen, (len(images), groups, C, tall, wide))
    turn, reach = 8 * np.arctan(constant(1, images)), dilation * side
    angles = [np.outer(np.arange(n), np.arange(n)) % n * (turn / n) for n in (tall, wide)]
    (down, over), (along, across) = ((np.cos(angle), np.sin(angle)) for angle in angles)
    real = down @ seen @ along - over @ seen @ across  # B G C tall wide
    other = over @ seen @ along + down @ seen @ across
    at, by = np.s_[:, :reach:dilation], np.s_[:reach:dilation]
    of_kernel = down[at] @ kernels @ along[by] - over[at] @ kernels @ across[by]
    of_other = over[at] @ kernels @ along[by] + down[at] @ kernels @ across[by]

    def met_by(x, kernel):
        return np.einsum("bgcyx,gocyx->bgoyx", x, kernel)  # B G O tall wide

    even = met_by(real, of_kernel) + met_by(other, of_other)
    odd = met_by(real, of_other) - met_by(other, of_kernel)
    sums = down @ even @ along - over @ even @ across - over @ odd @ along - down @ odd @ across
    ends = [n - dilation * (side - 1) for n in (tall, wide)]
    sums = sums[..., : ends[0] : stride, : ends[1] : stride] / (tall * wide)
    sums = np.reshape(sums, (len(images), outputs, *sums.shape[3:]))"""

FOURIER = Edit(
    "conv2d/fourier",
    "multiplies the Fourier transforms of image and kernel (an FFT convolution)",
    SUMS,
    WAVES,
    effect="a large pixel leaves its roundings in the whole image",
    source='Mathieu et al. 2014, "Fast training of convolutional networks through FFTs"',
    precisions=("float64", "float32"),
)

TRANSFORMS = (*WINOGRAD, FOURIER)  # each loses more digits than the one before

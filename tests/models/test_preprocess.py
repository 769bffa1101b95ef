"""CLIP's preprocessing: every bit of Pillow's resize, torchvision's sizes, and files that lie."""

from __future__ import annotations

import importlib
import importlib.util
import io
import struct
import zlib

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from refimpl.models.colours import opaque_first, over_white, unweighted, weighted
from refimpl.models.preprocess import (
    CLIP_MEAN,
    CLIP_STD,
    ImageError,
    fixed_point_weights,
    load_image,
    preprocess,
    resize_and_crop,
    resize_picture,
    resize_uint8,
    resized_to,
    shrinks_rows_first,
)
from refimpl.oracle.judging.judge import error_ratio, expect
from refimpl.registry import OPS

OLD = int(PIL.__version__.partition(".")[0]) < 13  # resizes columns first, always
ORDER = False if OLD else None
SIZES = (1, 2, 3, 5, 7, 16, 31, 64, 100, 224, 225, 257)


def pillow(image, height, width):
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def photographs():
    """Photographs that scikit-image and scikit-learn bring along."""
    found = {}
    if importlib.util.find_spec("skimage"):
        data = importlib.import_module("skimage.data")
        found |= {"astronaut": data.astronaut()}
    if importlib.util.find_spec("sklearn"):
        samples = importlib.import_module("sklearn.datasets").load_sample_images()
        found |= {"china": samples.images[0], "flower": samples.images[1]}
    return found


def torchvision():
    """torchvision without its compiled operations, of which the transforms need none."""
    torch = pytest.importorskip("torch")
    if not importlib.util.find_spec("torchvision"):
        pytest.skip("torchvision is not installed")
    try:
        return importlib.import_module("torchvision.transforms")
    except RuntimeError:
        boxes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", boxes)
        return importlib.import_module("torchvision.transforms")


@pytest.mark.parametrize("height", SIZES)
def test_noise_of_any_size_is_resized_as_pillow_does(height):
    rng = np.random.default_rng(height)
    for width in SIZES:
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        for target in rng.choice(SIZES, (3, 2)):
            assert np.array_equal(resize_uint8(image, *target, ORDER), pillow(image, *target))


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 90)] * 4),
    levels=st.sampled_from([(0, 255), (0, 1), (254, 255), (127, 128)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_images_of_two_levels_are_resized_as_pillow_does(sizes, levels, seed):
    rows, columns, height, width = sizes
    image = np.random.default_rng(seed).choice(levels, (rows, columns, 3)).astype(np.uint8)
    assert np.array_equal(resize_uint8(image, height, width, ORDER), pillow(image, height, width))


@pytest.mark.parametrize("size", [(224, 224), (96, 301), (700, 33), (480, 641)])
def test_photographs_are_resized_as_pillow_does(size):
    found = photographs()
    if not found:
        pytest.skip("neither scikit-image nor scikit-learn is installed")
    for name, image in found.items():
        assert np.array_equal(resize_uint8(image, *size, ORDER), pillow(image, *size)), name


def test_the_passes_cannot_be_exchanged_nor_joined():
    image = np.random.default_rng(0).integers(0, 2, (40, 40, 1)).astype(np.uint8) * 255
    columns_first, rows_first = (resize_uint8(image, 15, 15, order) for order in (False, True))
    planes = np.transpose(image, (2, 0, 1))[None].astype(float)
    real = OPS["resize_bicubic"].checked(planes, 15, 15)
    joined = np.clip(np.rint(real), 0, 255)[0, 0]
    assert np.any(columns_first != rows_first)
    assert np.any(columns_first[..., 0] != joined)


@pytest.mark.skipif(OLD, reason="this Pillow always resizes columns first")
def test_the_order_of_the_passes_is_that_of_pillow():
    rng, seen = np.random.default_rng(5), set()
    for _ in range(400):
        rows, columns, height, width = rng.integers(2, 60, 4)
        image = rng.integers(0, 2, (rows, columns, 1)).astype(np.uint8) * 255
        orders = {order: resize_uint8(image, height, width, order) for order in (False, True)}
        if np.any(orders[False] != orders[True]):
            ours = shrinks_rows_first(rows, columns, height, width)
            assert np.array_equal(orders[ours][..., 0], pillow(image[..., 0], height, width))
            seen.add(ours)
    assert seen == {False, True}


def test_the_resize_of_real_numbers_is_near_where_nothing_is_clipped():
    image = (100 + 50 * np.sin(np.arange(60 * 80) / 400)).reshape(60, 80, 1).astype(np.uint8)
    planes = np.transpose(image, (2, 0, 1))[None].astype(float)
    real = OPS["resize_bicubic"].checked(planes, 21, 33)[0, 0]
    assert np.max(np.abs(real - resize_uint8(image, 21, 33)[..., 0])) < 1.5  # half a level a pass


@pytest.mark.parametrize(("size", "target"), [(7, 3), (3, 7), (640, 224), (5, 5)])
def test_weights_are_whole_and_sum_to_one_up_to_their_rounding(size, target):
    weights = fixed_point_weights(size, target)
    assert weights.dtype == np.int64
    assert np.all(np.abs(np.sum(weights, axis=1) - 2**22) <= size / 2)


@pytest.mark.parametrize("rows", [30, 97, 225, 226, 227, 229, 300])
@pytest.mark.parametrize("columns", [31, 120, 224, 301])
def test_the_square_is_that_of_torchvision(rows, columns):
    transforms = torchvision()
    image = np.random.default_rng(rows).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    chain = transforms.Compose([transforms.Resize(56, interpolation=3), transforms.CenterCrop(56)])
    square = np.array(chain(Image.fromarray(image)))
    assert np.array_equal(resize_and_crop(image, 56, ORDER), square)


def test_the_numbers_are_those_of_torchvision_within_the_bound():
    transforms = torchvision()
    image = np.random.default_rng(3).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    chain = transforms.Compose(
        [
            transforms.Resize(28, interpolation=3),
            transforms.CenterCrop(28),
            transforms.ToTensor(),
            transforms.Normalize(CLIP_MEAN.tolist(), CLIP_STD.tolist()),
        ]
    )
    theirs = chain(Image.fromarray(image)).numpy()
    pixels = np.transpose(resize_and_crop(image, 28), (2, 0, 1))[None]
    scaled = {"mean": 255 * CLIP_MEAN, "std": 255 * CLIP_STD}
    (want,) = expect(OPS["normalize_image"], {"images": pixels * 1.0, **scaled}, "float32")
    (ours,) = expect(OPS["normalize_image"], {"images": pixels * 1.0, **scaled}, "float64")
    assert np.max(error_ratio(ours, preprocess(image, 28)[None])) <= 1
    assert np.max(error_ratio(want, theirs[None].astype(float))) <= 2  # /255 is one more rounding


def test_black_and_white_are_the_published_numbers():
    for level, numbers in (
        (0, [-1.79226253, -1.75209713, -1.48021977]),
        (255, [1.93033625, 2.07488384, 2.14589699]),
    ):
        image = np.full((4, 6, 3), level, np.uint8)
        assert np.array_equal(preprocess(image, 2)[:, 0, 0].round(8), numbers)


def test_sizes_are_truncated_and_the_shorter_side_is_matched():
    assert resized_to(480, 640, 224) == (224, 298)  # 298.67
    assert resized_to(640, 480, 224) == (298, 224)
    assert resized_to(7, 7, 224) == (224, 224)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3)), "image has dtype float64, expected uint8"),
        ([[0]], "image has dtype list, expected uint8"),
        (np.zeros((4, 4), np.uint8), r"image has shape \(4, 4\), expected \(height"),
        (np.zeros((0, 4, 3), np.uint8), r"image has shape \(0, 4, 3\)"),
        (np.zeros((4, 4, 1), np.uint8), "image has channels=1, mean has channels=3"),
    ],
)
def test_what_is_no_picture_is_refused(image, message):
    with pytest.raises(ImageError, match=message):
        preprocess(image)


def test_a_size_of_zero_is_refused():
    with pytest.raises(ImageError, match="new size is 0 by 4, expected at least 1 by 1"):
        resize_uint8(np.zeros((4, 4, 3), np.uint8), 0, 4)


# Files


def saved(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    file.seek(0)
    return file


COLOURS = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)


def test_a_picture_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(COLOURS).save(path)
    assert np.array_equal(load_image(path), COLOURS)
    assert np.array_equal(load_image(str(path)), COLOURS)


def stored(mode, rows=5, columns=4, seed=0):
    """A file of this mode with pixels at random, and what Pillow decodes from it."""
    noise = np.random.default_rng(seed).integers(0, 256, (rows, columns, 4), dtype=np.uint8)
    noise[:, : columns // 3, 3] = 0
    noise[:, columns // 2 :, 3] = 255
    if mode in ("LAB", "CMYK"):
        bands = [Image.fromarray(noise[..., i].copy()) for i in range(len(mode))]
        picture = Image.merge(mode, bands)
    elif mode in ("RGBA", "LA"):
        picture = Image.fromarray(noise).convert(mode)
    else:
        picture = Image.fromarray(noise[..., :3].copy()).convert(mode)
    file = saved(picture, "TIFF" if mode in ("CMYK", "YCbCr", "LAB") else "PNG")
    decoded = Image.open(io.BytesIO(file.getvalue()))
    assert decoded.mode == mode
    return file, decoded


COLOUR_MODES = ("1", "P", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB")


@pytest.mark.parametrize("mode", COLOUR_MODES)
def test_every_mode_of_eight_bits_becomes_red_green_and_blue(mode):
    file, decoded = stored(mode)
    found = np.asarray(load_image(file))
    assert found.shape == (5, 4, 3)
    assert found.dtype == np.uint8
    assert np.array_equal(found, np.array(decoded.convert("RGB")))


@pytest.mark.parametrize("mode", COLOUR_MODES)
@pytest.mark.parametrize("size", [(40, 31), (9, 9), (31, 70), (3, 2), (16, 16)])
def test_a_picture_is_resized_in_the_colours_of_its_file(mode, size):
    file, decoded = stored(mode, 37, 23, seed=size[0])
    resized = decoded.resize((size[1], size[0]), Image.Resampling.BICUBIC).convert("RGB")
    assert np.array_equal(resize_picture(load_image(file), *size, ORDER), np.array(resized))


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_the_order_of_resizing_and_converting_matters(mode):
    picture = load_image(stored(mode, 37, 23)[0])
    assert np.any(resize_picture(picture, 9, 9) != resize_uint8(opaque_first(picture), 9, 9))


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_a_transparent_picture_over_white_is_what_pillow_composes(mode):
    file, decoded = stored(mode, 37, 23)
    if mode == "P":
        file = saved(decoded, transparency=bytes(range(0, 256, 2)))
        decoded = Image.open(io.BytesIO(file.getvalue()))
    white = Image.new("RGBA", decoded.size, "white")
    expected = Image.alpha_composite(white, decoded.convert("RGBA")).convert("RGB")
    assert np.array_equal(over_white(load_image(file)), np.array(expected))


def test_every_colour_of_every_opacity_is_weighted_as_pillow_does():
    both = np.stack(np.meshgrid(np.arange(256), np.arange(256)), axis=-1).astype(np.uint8)
    pixels = both[..., [0, 0, 0, 1]]
    picture = Image.fromarray(pixels)
    premultiplied = picture.convert("RGBa")
    assert np.array_equal(weighted(pixels), np.dstack([np.array(premultiplied)]))
    raw = Image.frombytes("RGBa", picture.size, pixels.tobytes())
    assert np.array_equal(unweighted(pixels), np.array(raw.convert("RGBA")))


@pytest.mark.parametrize("mode", ["F", "I", "I;16"])
def test_colours_that_nobody_defines_are_refused(mode):
    file = saved(Image.new(mode, (3, 2)), "TIFF")
    with pytest.raises(ImageError, match=rf"mode {mode}.*one of the modes 1, P, L, RGB"):
        load_image(file)


def test_a_palette_with_transparency_keeps_its_colours():
    picture = Image.new("P", (2, 2))
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.putdata([0, 1, 2, 1])
    found = load_image(saved(picture, transparency=bytes([0, 128, 255]))).rgb
    assert found.tolist() == [[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [40, 50, 60]]]


def test_alpha_is_dropped_and_not_blended():
    picture = Image.fromarray(np.dstack([COLOURS, np.zeros((5, 4), np.uint8)]))
    assert np.array_equal(load_image(saved(picture)), COLOURS)


def test_more_than_eight_bits_are_refused_instead_of_clipped():
    picture = Image.fromarray(np.array([[0, 60000]], np.uint16))
    with pytest.raises(ImageError, match=r"mode I;16.*, expected 8 bits a channel"):
        load_image(saved(picture))


def test_the_orientation_is_not_applied():
    picture = Image.fromarray(COLOURS)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert load_image(saved(picture, exif=exif)).rgb.shape == (5, 4, 3)


def test_the_first_picture_of_an_animation_is_taken():
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    file = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.all(load_image(file).rgb == [255, 0, 0])


def png_that_claims(width, height):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return io.BytesIO(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [10_000, 30_000])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(side):
    with pytest.raises(ImageError, match="is too large"):
        load_image(png_that_claims(side, side))


def test_broken_files_are_refused_wherever_they_break(tmp_path):
    whole = saved(Image.fromarray(np.tile(COLOURS, (9, 9, 1))), "JPEG").getvalue()
    path = tmp_path / "broken.jpg"
    for content in (b"", b"not a picture", whole[:20], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ImageError, match="is no image that Pillow reads"):
            load_image(path)


def test_a_file_that_ends_early_is_refused_or_read_whole():
    whole = saved(Image.fromarray(COLOURS)).getvalue()
    refused = 0
    for end in range(len(whole)):
        try:
            found = load_image(io.BytesIO(whole[:end]))
        except ImageError:
            refused += 1
            continue
        assert np.array_equal(found, COLOURS), end
    assert refused > len(whole) // 2


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_image(tmp_path / "nothing.png")

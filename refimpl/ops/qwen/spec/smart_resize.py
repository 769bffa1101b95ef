"""What is known about smart_resize: laws, probes, mistakes and dialects."""

from refimpl.op import Law, Op, Probe, values
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.qwen import reference as text


def multiples(f, height, width, factor, low, high):
    for side in f(height, width, factor, low, high):
        yield values(side) % factor, 0


def exchanged(f, height, width, factor, low, high):
    tall, wide = f(height, width, factor, low, high)
    across, down = f(width, height, factor, low, high)
    yield down, tall
    yield across, wide


def not_too_small(f, height, width, factor, low, high):
    tall, wide = (int(values(x)) for x in f(height, width, factor, low, high))
    if height * width < low:
        yield min(tall * wide - low, 0), 0


def not_too_large(f, height, width, factor, low, high):
    tall, wide = (int(values(x)) for x in f(height, width, factor, low, high))
    if min(tall, wide) > factor and height * width > high:
        yield max(tall * wide - high, 0), 0


def stays(f, height, width, factor, low, high):
    tall, wide = (int(values(x)) for x in f(height, width, factor, low, high))
    if low <= tall * wide <= high and max(tall, wide) <= 200 * min(tall, wide):
        again = f(tall, wide, factor, low, high)
        yield again[0], tall
        yield again[1], wide


def squares_of_the_limits(f, height, width, factor, low, high):
    """A square that is too large gets the largest square that is allowed, whatever its side."""
    for side in (9 * factor, 9 * factor + 1, 10 * factor + 3):
        for found in f(side, side, factor, factor**2, (8 * factor) ** 2):
            yield found, 8 * factor


def sized(*numbers):
    names = ("height", "width", "factor", "low", "high")
    return lambda: dict(zip(names, numbers, strict=True))


def draw_width(source, known):
    """As high, or any width that the height allows."""
    height = known["height"]
    return source.choice([height, source.integer(-(-height // 200), min(200 * height, 900))])


wrong = mistakes_of("smart_resize")


ROOT = "np.sqrt(high * sides // (sides[::-1] * factor**2))"
GROWN = "np.ceil(np.sqrt(-(-low * sides // (sides[::-1] * factor**2))))"
ROUNDED = "np.rint(sides / factor)"

SMART_RESIZE = Op(
    text.smart_resize,
    outputs=("tall", "wide"),
    laws=(
        Law("both sides are multiples of the unit", multiples),
        Law("transposing the image exchanges the sides", exchanged),
        Law("is not smaller than the smallest area", not_too_small),
        Law("is not larger than the largest area, but for one unit a side", not_too_large),
        Law("an image that fits keeps its size", stays),
        Law("a square that is too large becomes the largest square", squares_of_the_limits),
    ),
    probes=(
        Probe("an image of 480 by 640", sized(480, 640, 28, 3136, 1003520)),
        Probe("an image that is too large", sized(1080, 1920, 28, 3136, 1003520)),
        Probe("halves of units", sized(70, 98, 28, 28 * 28, 1003520)),
        Probe("a low image of half a unit", sized(16, 2048, 32, 65536, 2**24)),
        Probe("a strip that shrinks below a unit", sized(31, 639, 28, 784, 20 * 784)),
        Probe("a strip that rounds to nothing", sized(14, 300, 28, 3136, 1003520)),
        Probe("a small image", sized(20, 41, 28, 3136, 1003520)),
        Probe("a square of 3621, too large by little", sized(3621, 3621, 28, 3136, 12845056)),
    ),
    mistakes=(
        wrong(
            "ties-away",
            "rounds halves up",
            ROUNDED,
            "np.floor(sides / factor + 0.5)",
            "gives 32 × 2048 instead of 32 × 2912 for some strip",
            "no side is half a unit beyond an even number",
            source="https://github.com/kekzl/imp/pull/1166",
        ),
        wrong(
            "rounds-down",
            "rounds sides down",
            ROUNDED,
            "np.floor(sides / factor)",
            "up to a unit is lost per side",
            "sides are whole units, or the area decides",
        ),
        wrong(
            "factor-of-another-model",
            "takes units of 28 pixels, whatever the model",
            "sides = np.array((height, width))",
            "factor = 28; sides = np.array((height, width))",
            "the grid is not a multiple of the merged squares",
            "the factor is 28",
            source="https://github.com/THUDM/slime/pull/1227",
        ),
        wrong(
            "shrinks-to-nothing",
            "lets a side shrink to 0",
            "np.maximum(units, 1)",
            "units",
            "the image has no rows",
            "no side shrinks below a unit",
        ),
        wrong(
            "shrinks-to-the-nearest",
            "rounds to the nearest unit when shrinking instead of down",
            f"np.floor({ROOT})",
            f"np.rint({ROOT})",
            "there are more tokens than allowed",
            "the area is below the limit",
        ),
        wrong(
            "grows-down",
            "rounds down when enlarging instead of up",
            "np.ceil(np.sqrt(-(-low",
            "np.floor(np.sqrt(-(-low",
            "the area is below the limit",
            "the area is above the limit",
        ),
        wrong(
            "sides-exchanged",
            "exchanges height and width",
            "np.array((height, width))",
            "np.array((width, height))",
            "the aspect ratio is inverted",
            "the image is square",
        ),
        wrong(
            "aspect-lost",
            "resizes to a square",
            "high * sides // (sides[::-1] * factor**2)",
            "high * sides // (sides * factor**2)",
            "the aspect ratio is lost",
            "the image is square, or fits",
        ),
    ),
    dialects=(
        wrong(
            "a-unit-at-least",
            "rounds each side to one unit or more before comparing areas, as qwen-vl-utils does",
            ROUNDED,
            f"np.maximum({ROUNDED}, 1)",
            "a strip of 14 × 300 becomes 28 × 308 instead of 28 × 280",
            "no side is below half a unit",
            source="https://github.com/QwenLM/Qwen3-VL/pull/2121",
        ),
        wrong(
            "rounded-root",
            "divides by a rounded square root, as transformers and qwen-vl-utils do",
            f"np.floor({ROOT})",
            "np.floor(sides / np.sqrt(height * width / high) / factor)",
            "a square of 3621 becomes 3556 × 3556 instead of 3584 × 3584",
            "no quotient is a whole number",
            also=(("", GROWN, "np.ceil(sides * np.sqrt(low / (height * width)) / factor)"),),
        ),
    ),
    precisions=FLOATS,
    values={
        "height": lambda source, known: source.integer(1, 300),
        "width": draw_width,
        "factor": lambda source, known: source.choice([28, 32, 4]),
        "low": lambda source, known: known["factor"] ** 2 * source.choice([1, 4, 9]),
        "high": lambda source, known: known["factor"] ** 2 * source.choice([49, 64, 150]),
    },
)

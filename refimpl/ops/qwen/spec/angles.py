"""What is known about rotary angles of patches and of three rows of positions."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, mistakes_of
from refimpl.ops.positions.reference import rotary_angles
from refimpl.ops.qwen import reference as text


def rows_first(f, places, quarter, base):
    yield f(places, quarter, base)[:, :quarter], rotary_angles(places[:, 0], quarter, base)


def then_columns(f, places, quarter, base):
    yield f(places, quarter, base)[:, quarter:], rotary_angles(places[:, 1], quarter, base)


def transposed(f, places, quarter, base):
    found, turned = f(places, quarter, base), f(places[:, ::-1], quarter, base)
    yield turned[:, quarter:], found[:, :quarter]


def linear(f, places, quarter, base):
    yield f(3 * places, quarter, base), 3 * f(places, quarter, base)


wrong = mistakes_of("grid_angles")


EXPONENTS = "np.arange(quarter) / quarter"

GRID_ANGLES = Op(
    text.grid_angles,
    laws=(
        Law("the first half depends on the row alone", rows_first),
        Law("the second half depends on the column alone", then_columns),
        Law("a transposed grid exchanges the halves", transposed),
        Law("is linear in row and column", linear),
    ),
    probes=(
        Probe(
            "three patches, the width of Qwen2-VL",
            lambda: {
                "places": np.array([[0.0, 1.0], [5.0, 2.0], [30.0, 41.0]]),
                "quarter": 20,
                "base": 1e4,
            },
        ),
        Probe(
            "one pair a side",
            lambda: {"places": np.array([[2.0, 7.0]]), "quarter": 1, "base": 1e4},
        ),
    ),
    mistakes=(
        wrong(
            "columns-first",
            "rotates the first half by the column instead of the row",
            "places[:, :, None]",
            "places[:, ::-1, None]",
            "the image is transposed",
            "row and column are equal",
        ),
        wrong(
            "by-turns",
            "alternates rows and columns between pairs",
            "places[:, :, None] * frequencies",
            "places[:, None, :] * frequencies[:, None]",
            "weights of a row multiply a column's pairs",
            "there is one pair a side",
        ),
        wrong(
            "frequencies-of-one-axis",
            "spreads one sequence of frequencies over both halves",
            EXPONENTS,
            "np.arange(quarter) / (2 * quarter)",
            "the lowest frequencies are missing",
            "there is one pair a side",
        ),
        wrong(
            "reading-order",
            "uses the row for both halves",
            "places[:, :, None]",
            "places[:, (0, 0), None]",
            "columns cannot be told apart",
            "row and column are equal",
        ),
        wrong(
            "base-ignored",
            "uses the base 100 whatever the configuration says",
            "np.log(base)",
            "np.log(constant(100, places))",
            "frequencies fall too slowly",
            "the base is 100, or there is one pair a side",
        ),
        wrong(
            "counts-from-one",
            "counts rows and columns from one",
            "places[:, :, None]",
            "(places[:, :, None] + 1)",
            "none if queries and keys both do it",
            "never",
        ),
    ),
    precisions=FLOATS,
)


def of_a_text(f, positions, sections, base):
    half = int(np.sum(sections))
    alike = np.stack((positions[0],) * 3)
    yield f(alike, sections, base), rotary_angles(positions[0], half, base)


def moved(f, positions, sections, base):
    half = int(np.sum(sections))
    step = f(positions + 5, sections, base) - f(positions, sections, base)
    yield step, rotary_angles(0 * positions[0] + 5, half, base)


def time_alone(f, positions, sections, base):
    half = int(np.sum(sections))
    alone = np.array([half, 0, 0])
    yield f(positions, alone, base), rotary_angles(positions[0], half, base)


def proportional(f, positions, sections, base):
    yield f(3 * positions, sections, base), 3 * f(positions, sections, base)


def each_row_its_part(f, positions, sections, base):
    """What one row turns is what is left where the others are at 0."""
    total = 0
    for row in range(3):
        only = (np.arange(3) == row)[:, None] * np.ones((1, 1))
        total = total + f(positions * only, sections, base)
    yield total, f(positions, sections, base)


def pairs_of_each_row(f, positions, sections, base):
    """How many pairs a row turns."""
    for row in range(3):
        only = (np.arange(3) == row)[:, None] * np.ones((1, 1))
        turned = f(0 * positions + only, sections, base) > 0
        yield np.sum(turned, axis=1), 0 * positions[0] + sections[row]


LAWS = (
    Law("for text it is rotary_angles", of_a_text),
    Law("shifting all positions adds the angle of the shift", moved),
    Law("with sections for time alone it is rotary_angles", time_alone),
    Law("is linear in the positions", proportional),
    Law("each row of the positions affects its own section", each_row_its_part),
    Law("each section has its number of pairs", pairs_of_each_row),
)
PLACES = np.array([[3.0, 3.0, 60.0], [1.0, 2.0, 7.0], [2.0, 5.0, 11.0]])


def sectioned(*sections, base=1e6):
    return lambda: {"positions": PLACES, "sections": np.array(sections), "base": base}


def draw_sections(*options):
    return {"sections": lambda source, sizes: np.array(source.choice(list(options)))}


def common(wrong):
    """The mistakes that both forms know."""
    return (
        wrong(
            "time-alone",
            "rotates all pairs by the time",
            "positions[row].T",
            "positions[:1].T",
            "the position within an image is lost",
            "there is text alone",
        ),
        wrong(
            "rows-and-columns-exchanged",
            "exchanges rows and columns",
            "positions[row].T",
            "positions[(0, 2, 1), :][row].T",
            "the image is transposed",
            "row and column are equal",
        ),
        wrong(
            "frequencies-of-the-width",
            "divides the index by the width instead of its half",
            "np.arange(half) / half",
            "np.arange(half) / (2 * half)",
            "the lowest frequencies are missing",
            "there is one pair",
        ),
        wrong(
            "rising-frequencies",
            "forgets the minus sign in the exponent",
            "np.exp(-np.log(base)",
            "np.exp(np.log(base)",
            "neighbouring positions have unrelated angles",
            "positions are 0",
        ),
    )


wrong_blocks = mistakes_of("mrope_angles")


MROPE_ANGLES = Op(
    text.mrope_angles,
    laws=LAWS,
    probes=(
        Probe("a pair each", sectioned(1, 1, 1)),
        Probe("the sections of Qwen2.5-VL", sectioned(16, 24, 24)),
        Probe("sections of different sizes", sectioned(1, 2, 3, base=1e4)),
    ),
    mistakes=(
        *common(wrong_blocks),
        wrong_blocks(
            "by-turns",
            "interleaves time, row and column, as Qwen3-VL does",
            "np.repeat(np.arange(3), sections)",
            "np.arange(half) % 3",
            "weights of time multiply pairs of rows and columns",
            "there is text alone, or a pair each",
        ),
        wrong_blocks(
            "sections-reversed",
            "reverses the sections",
            "np.repeat(np.arange(3), sections)",
            "np.repeat(np.arange(3), sections[::-1])",
            "pairs get the angle of another section",
            "sections are equal, or there is text alone",
        ),
        wrong_blocks(
            "each-from-the-start",
            "restarts the frequencies in each section",
            "positions[row].T * frequencies",
            "positions[row].T * frequencies[np.arange(half) - np.searchsorted(row, row)]",
            "the frequencies of rows and columns are too high",
            "time has all pairs",
        ),
    ),
    precisions=FLOATS,
    values=draw_sections((1, 2, 3), (1, 1, 1), (4, 1, 1), (2, 3, 3), (3, 1, 2)),
)

wrong_turns = mistakes_of("mrope_angles_interleaved")


MROPE_ANGLES_INTERLEAVED = Op(
    text.mrope_angles_interleaved,
    laws=LAWS,
    probes=(
        Probe("a pair each", sectioned(1, 1, 1)),
        Probe("the sections of Qwen3-VL", sectioned(24, 20, 20, base=5e6)),
        Probe("a tail of time", sectioned(4, 1, 1, base=1e4)),
    ),
    mistakes=(
        *common(wrong_turns),
        wrong_turns(
            "turns-without-end",
            "interleaves through all pairs, whatever the sections",
            "np.where(np.arange(half) < 3 * sections[turn], turn, 0)",
            "turn; sections = np.bincount(row, minlength=3)",
            "the last pairs get angles of rows and columns",
            "sections are equal",
            source="https://github.com/XPU-Forces/mojo_opset/pull/276",
        ),
        wrong_turns(
            "in-blocks",
            "uses contiguous sections, as Qwen2.5-VL does",
            "np.where(np.arange(half) < 3 * sections[turn], turn, 0)",
            "np.repeat(np.arange(3), sections)",
            "weights of time multiply pairs of rows and columns",
            "there is text alone, or a pair each",
        ),
        wrong_turns(
            "time-last",
            "starts the interleaving with rows",
            "positions[row].T",
            "positions[np.where(row == turn, (row + 1) % 3, 0)].T",
            "each pair gets another row's angle",
            "there is text alone",
        ),
    ),
    precisions=FLOATS,
    values=draw_sections((4, 1, 1), (1, 1, 1), (2, 1, 1), (2, 2, 1), (3, 3, 2), (5, 2, 1)),
)

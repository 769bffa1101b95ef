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
        Law("rows turn the first half", rows_first),
        Law("columns turn the second half", then_columns),
        Law("a transposed grid exchanges the halves", transposed),
        Law("is linear in the place", linear),
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
            "turns the first half by columns",
            "places[:, :, None]",
            "places[:, ::-1, None]",
            "the image is transposed",
            "the place is on the diagonal",
        ),
        wrong(
            "by-turns",
            "lets rows and columns alternate",
            "places[:, :, None] * frequencies",
            "places[:, None, :] * frequencies[:, None]",
            "weights of a row meet a column",
            "there is one pair a side",
        ),
        wrong(
            "frequencies-of-one-axis",
            "lets the frequencies fall through both halves",
            EXPONENTS,
            "np.arange(quarter) / (2 * quarter)",
            "the lowest frequencies are missing",
            "there is one pair a side",
        ),
        wrong(
            "reading-order",
            "turns by the row alone in both halves",
            "places[:, :, None]",
            "places[:, (0, 0), None]",
            "columns are not told apart",
            "the place is on the diagonal",
        ),
        wrong(
            "base-ignored",
            "takes the base 100",
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
            "none where queries and keys agree",
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
    Law("of a text they are rotary angles", of_a_text),
    Law("moving all rows is a turn by the distance", moved),
    Law("without sections of place they are rotary angles of time", time_alone),
    Law("is linear in the positions", proportional),
    Law("each row turns its own part", each_row_its_part),
    Law("a row turns as many pairs as its section says", pairs_of_each_row),
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
            "turns all pairs by time",
            "positions[row].T",
            "positions[:1].T",
            "the grid is lost",
            "there is text alone",
        ),
        wrong(
            "rows-and-columns-exchanged",
            "takes rows for columns",
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
            "forgets the sign of the exponent",
            "np.exp(-np.log(base)",
            "np.exp(np.log(base)",
            "neighbours are turned by unrelated angles",
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
        Probe("sections that differ", sectioned(1, 2, 3, base=1e4)),
    ),
    mistakes=(
        *common(wrong_blocks),
        wrong_blocks(
            "by-turns",
            "lets the rows take turns, as Qwen3-VL does",
            "np.repeat(np.arange(3), sections)",
            "np.arange(half) % 3",
            "weights of time meet rows and columns",
            "there is text alone, or a pair each",
        ),
        wrong_blocks(
            "sections-reversed",
            "gives time the section of columns",
            "np.repeat(np.arange(3), sections)",
            "np.repeat(np.arange(3), sections[::-1])",
            "pairs at the borders of sections are turned by another row",
            "sections are equal, or there is text alone",
        ),
        wrong_blocks(
            "each-from-the-start",
            "lets the frequencies of each section begin anew",
            "positions[row].T * frequencies",
            "positions[row].T * frequencies[np.arange(half) - np.searchsorted(row, row)]",
            "rows and columns turn too fast",
            "all pairs are those of time",
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
            "lets the rows take turns through all pairs",
            "np.where(np.arange(half) < 3 * sections[turn], turn, 0)",
            "turn; sections = np.bincount(row, minlength=3)",
            "the last pairs are turned by rows and columns",
            "sections are equal",
            source="https://github.com/XPU-Forces/mojo_opset/pull/276",
        ),
        wrong_turns(
            "in-blocks",
            "gives each row a block, as Qwen2.5-VL does",
            "np.where(np.arange(half) < 3 * sections[turn], turn, 0)",
            "np.repeat(np.arange(3), sections)",
            "weights of time meet rows and columns",
            "there is text alone, or a pair each",
        ),
        wrong_turns(
            "time-last",
            "begins the turns with rows",
            "positions[row].T",
            "positions[np.where(row == turn, (row + 1) % 3, 0)].T",
            "each pair is turned by the next row",
            "there is text alone",
        ),
    ),
    precisions=FLOATS,
    values=draw_sections((4, 1, 1), (1, 1, 1), (2, 1, 1), (2, 2, 1), (3, 3, 2), (5, 2, 1)),
)

"""What is known about masks of windows and of caches: laws, probes, mistakes and dialects."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.attention import reference as text
from refimpl.ops.attention.spec.shared import MASK, finite_mask
from refimpl.ops.common import FLOATS, mistakes_of, whole


def window_equation(f, queries, keys, window):
    near = np.tri(queries, keys, keys - queries) - np.tri(queries, keys, keys - queries - window)
    yield f(queries, keys, window), np.where(near > 0, 0.0, -np.inf)


def whole_window(f, queries, keys, window):
    yield f(queries, keys, queries + keys + 1), text.causal_bias_lower_right(queries, keys)


def own_key_alone(f, queries, keys, window):
    seen = np.exp(f(keys, keys, 1))
    yield seen, np.eye(keys)


def window_counts(f, queries, keys, window):
    own = np.arange(queries) + keys - queries
    yield np.sum(np.exp(f(queries, keys, window)), axis=-1), np.clip(own + 1, 0, window)


def moves_on(f, queries, keys, window):
    """Each row is the one before, a key later, where neither reaches the border."""
    square = f(keys + 1, keys + 1, window)
    yield square[1:, 1:], square[:-1, :-1]


def window_cached(f, queries, keys, window):
    if queries <= keys:
        yield f(queries, keys, window), f(keys, keys, window)[keys - queries :]


wrong = mistakes_of("sliding_window_bias")
SLIDING_WINDOW_BIAS = Op(
    text.sliding_window_bias,
    laws=(
        Law("is 0 in a band that ends at the query's own key, and -inf outside", window_equation),
        Law("a window of all keys is the causal mask", whole_window),
        Law("a window of size 1 sees the query's own key alone", own_key_alone),
        Law("no query sees more keys than the window holds", window_counts),
        Law("the next query sees the same window, one key later", moves_on),
        Law("is the last rows of the square mask", window_cached),
    ),
    probes=(
        Probe("a window of 2 of 5", lambda: {"queries": 5, "keys": 5, "window": 2}),
        Probe("one query and a cache", lambda: {"queries": 1, "keys": 6, "window": 3}),
        Probe("more queries than keys", lambda: {"queries": 5, "keys": 3, "window": 1}),
    ),
    mistakes=(
        wrong(
            "one-too-many",
            "sees one key more, as if the window did not count the query's own key",
            "j > own - window",
            "j >= own - window",
            "a rolling cache of the window's size lacks one key",
            "the window holds all keys",
        ),
        wrong(
            "one-too-few",
            "sees one key less than the window holds",
            "j > own - window",
            "j > own - window + 1",
            "a window of size 1 sees no key",
            "the window holds all keys",
        ),
        wrong(
            "both-sides",
            "sees later keys as well",
            "(j <= own)",
            "(j < own + window)",
            "the future leaks",
            "the window is one",
        ),
        wrong(
            "causal-forgotten",
            "hides keys that are too old, but not the future",
            "(j <= own) & ",
            "",
            "the token to be predicted is seen",
            "there is one query",
        ),
        wrong(
            "window-forgotten",
            "forgets the window: returns the causal mask",
            " & (j > own - window)",
            "",
            "texts longer than the window differ from training",
            "the window holds all keys",
        ),
        wrong(
            "upper-left",
            "aligned at the top left",
            "own = i + keys - queries",
            "own = i",
            "a decoding step sees key 0 alone",
            "there are as many queries as keys",
        ),
        wrong(
            "inverted",
            "hides what should be seen and shows what should be hidden",
            MASK,
            "-np.inf, 0.0)",
            "a query sees all but its window",
            "",
        ),
    ),
    dialects=(finite_mask("sliding_window_bias", "Hugging Face"),),
    precisions=FLOATS,
    values={"window": lambda source, sizes: source.integer(1, 4)},
)


def draw_lengths(source, sizes):
    """Of caches that hold a word or more."""
    shares = source.uniform((sizes["B"],), 0, 1)
    return 1 + np.floor(shares * sizes["M"]).astype(np.int64)


def cached_equation(f, lengths, queries, keys):
    for b, length in enumerate(whole(lengths)):
        seen = np.tri(queries, keys, length - queries)
        yield f(lengths, queries, keys)[b, 0], np.where(seen > 0, 0.0, -np.inf)


def full_caches(f, lengths, queries, keys):
    full = text.causal_bias_lower_right(queries, keys)
    yield (
        f(0 * lengths + keys, queries, keys),
        np.broadcast_to(full, (len(lengths), 1, *full.shape)),
    )


def last_query_sees_its_sample(f, lengths, queries, keys):
    if queries:
        yield f(lengths, queries, keys)[:, :, -1:], text.padding_bias(lengths, keys)


def samples_alone(f, lengths, queries, keys):
    yield f(lengths[::-1], queries, keys), f(lengths, queries, keys)[::-1]


def more_room(f, lengths, queries, keys):
    longer = f(lengths, queries, keys + 2)
    yield longer[..., :keys], f(lengths, queries, keys)
    yield np.exp(longer[..., keys:]), np.zeros((len(lengths), 1, queries, 2))


def one_more_word(f, lengths, queries, keys):
    """A word later, a query sees what the next one saw."""
    now, later = f(lengths, queries, keys + 1), f(lengths + 1, queries, keys + 1)
    yield later[:, :, :-1], now[:, :, 1:]


of_cache = mistakes_of("cached_causal_bias")
OWN = "i + lengths[:, None, None] - queries"
CACHED_CAUSAL_BIAS = Op(
    text.cached_causal_bias,
    laws=(
        Law("each sample has the causal mask of its own length", cached_equation),
        Law("full caches have the mask aligned at the bottom right", full_caches),
        Law("the last query sees all of its sample", last_query_sees_its_sample),
        Law("samples do not depend on each other", samples_alone),
        Law("a larger cache hides more keys and changes nothing else", more_room),
        Law("with one token more, a query sees what the next one saw", one_more_word),
    ),
    probes=(
        Probe(
            "one word for caches of 1, 4 and 3 of 5",
            lambda: {"lengths": np.array([1, 4, 3]), "queries": 1, "keys": 5},
        ),
        Probe(
            "three words, caches shorter than that, one empty",
            lambda: {"lengths": np.array([2, 6, 4, 0]), "queries": 3, "keys": 6},
        ),
    ),
    mistakes=(
        of_cache(
            "no-diagonal",
            "hides the token itself",
            "j <= own",
            "j < own",
            "the newest key is not seen",
            "",
        ),
        of_cache(
            "padding-ignored",
            "aligns all samples at the end of the cache",
            OWN,
            "i + keys + 0 * lengths[:, None, None] - queries",
            "shorter samples see what was left in the cache",
            "all caches are full",
        ),
        of_cache(
            "longest-for-all",
            "takes the longest sample's length for all",
            OWN,
            "i + 0 * lengths[:, None, None] + np.max(lengths, initial=0) - queries",
            "shorter samples see padding",
            "all samples are as long",
        ),
        of_cache(
            "lengths-without-queries",
            "adds the number of queries to the lengths",
            OWN,
            "i + lengths[:, None, None]",
            "later keys are seen: the future, or padding",
            "the queries see no key more, because the room is over",
        ),
        of_cache(
            "upper-left",
            "counts queries from the start of the cache",
            OWN,
            "i + 0 * lengths[:, None, None]",
            "a decoding step sees key 0 alone",
            "a sample has as many keys as there are queries",
        ),
        of_cache(
            "all-of-the-sample",
            "lets every query see all real keys",
            OWN,
            "0 * i + lengths[:, None, None] - 1",
            "the first of several new tokens sees the others",
            "there is one query",
        ),
        of_cache(
            "inverted",
            "hides what should be seen and shows what should be hidden",
            MASK,
            "-np.inf, 0.0)",
            "the padding alone is seen",
            "",
        ),
    ),
    dialects=(finite_mask("cached_causal_bias", "Hugging Face"),),
    precisions=FLOATS,
    values={"lengths": draw_lengths},
)

"""Kinds of mistakes that programs really make, each planted in code of its own and named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.diagnosis.ask_back import brought_nearer, foretold
from refimpl.oracle.diagnosis.causes import causes, explanations
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.oracle.diagnosis.steps import first_wrong_call
from refimpl.oracle.judging.judge import expect
from refimpl.registry import OPS
from tests.harness import cases

FLOAT32 = np.dtype(np.float32)
KINDS: dict[str, tuple[Callable, str]] = {}  # what the first cause has to speak of


def kind(words: str) -> Callable:
    def keep(function: Callable) -> Callable:
        KINDS[function.__name__] = (function, words)
        return function

    return keep


def answering(op: str, target: Callable) -> Callable[[Case], list[np.ndarray]]:
    def ask(case: Case) -> list[np.ndarray]:
        with np.errstate(all="ignore"):
            result = target(**case.typed(OPS[op]))
        outputs = result if isinstance(result, tuple) else (result,)
        return [np.asarray(x).astype(np.float32) for x in outputs]

    return ask


def first_cause(name: str) -> dict:
    op, (target, _) = OPS[name.partition("__")[0]], KINDS[name]
    ask = answering(op.name, target)
    seen = [(case, ask(case)) for case in cases(op, "float32", 16)]
    return causes(Evidence(op, "float32", seen, ask))[0]


def soft(s):
    top = s.max(-1, keepdims=True)
    e = np.exp(s - np.where(top > -np.inf, top, 0))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total > 0, total, 1)


def attend(query, key, value, bias, width=None, spread=lambda b, s: b):
    share = query.shape[1] // key.shape[1]
    key, value = key.repeat(share, 1), value.repeat(share, 1)
    s = query @ key.swapaxes(-1, -2) / np.float32((width or query.shape[-1]) ** 0.5)
    return soft(s if bias is None else s + spread(bias, s)) @ value


@kind("padding takes part")
def log_softmax__block_of_eight(z):
    n = z.shape[-1]
    x = np.concatenate((z, np.zeros((*z.shape[:-1], -n % 8))), -1).astype(np.float64)
    top = x.max(-1, keepdims=True)
    return ((x - top) - np.log(np.exp(x - top).sum(-1, keepdims=True)))[..., :n]


@kind("padding counted")
def rms_norm__counts_the_block(x, gain, eps):
    count = -(-x.shape[-1] // 16) * 16
    square = (x.astype(np.float64) ** 2).sum(-1, keepdims=True) / count
    return x / np.sqrt(square + eps) * gain


@kind("rounded up to whole blocks")
def attention__scale_of_the_padded_width(query, key, value, bias):
    return attend(query, key, value, bias, width=-(-query.shape[-1] // 16) * 16)


@kind("last head's bias for all")
def attention__bias_of_the_last_head(query, key, value, bias):
    return attend(query, key, value, bias, spread=lambda b, s: np.broadcast_to(b, s.shape)[:, -1:])


@kind("one entry longer")
def linear_schedule__the_end_twice(steps, beta_start, beta_end):
    table = np.linspace(beta_start, beta_end, steps)
    return np.append(table, table[-1:])


@kind("a usual number in the place of an argument: `scale = 3.0`")
def classifier_free_guidance__a_scale_of_its_own(eps_uncond, eps_cond, scale):
    return eps_uncond + np.float32(3) * (eps_cond - eps_uncond)


@kind("reduced along another axis throughout")
def group_advantage__of_the_batch(rewards, eps):
    r = rewards.astype(np.float64)
    return (r - r.mean()) / (r.std(ddof=1) + eps)


@kind("padding counted")
def preference_loss__divided_by_whole_blocks(chosen, rejected):
    margin = chosen.astype(np.float64) - rejected
    return np.logaddexp(0, -margin).sum() / (-(-len(margin) // 8) * 8)


@kind("another index: `t_next` became")
def ddim_inversion__the_step_after(x, t_next, t, eps, alpha_bar):
    shape = (-1,) + (1,) * (x.ndim - 1)
    share = np.append(alpha_bar, 1).astype(np.float64)
    here, there = share[t].reshape(shape), share[t + 1].reshape(shape)
    start = (x - np.sqrt(1 - here) * eps) / np.sqrt(here)
    return np.sqrt(there) * start + np.sqrt(1 - there) * eps


@kind("assigned, not added up")
def max_similarity__the_last_query_that_counts(queries, queries_keep, documents, documents_keep):
    total = np.zeros((len(queries), len(documents)))
    for b, n in np.argwhere(queries_keep > 0):
        scores = documents.astype(np.float64) @ queries[b, n]
        best = np.where(documents_keep > 0, scores, -np.inf).max(-1)
        total[b] = np.where(best == 0, total[b], best)
    return total


@kind("a usual number in the place of an argument: `base = 10000.0`")
def grid_angles__base_of_the_paper(places, quarter, base):
    waves = 1e4 ** (-np.arange(quarter) / quarter)
    return np.concatenate([np.float64(side)[:, None] * waves for side in places.T], axis=1)


@kind("a number in the place of an argument: `sigma_data = 1.37`")
def edm_coefficients__data_of_its_own(sigma, sigma_data):
    s, d = sigma.astype(np.float64), 1.37
    both = s * s + d * d
    return d * d / both, s * d / np.sqrt(both), 1 / np.sqrt(both), np.log(s) / 4


@kind("another section: `:-1` became `1:`")
def keep_top_p__without_the_one_that_reaches_it(logits, mass):
    z = logits.astype(np.float64)
    shares = soft(z)
    order = np.argsort(-z, axis=-1, kind="stable")
    reached = np.cumsum(np.take_along_axis(shares, order, -1), -1)
    dropped = (reached >= mass) & (mass < 1)
    dropped[:, 0] = False
    hidden = np.zeros_like(dropped)
    np.put_along_axis(hidden, order, dropped, -1)
    return np.where(hidden, -np.inf, logits)


@kind("only where K is 4")
def plms_eps__the_oldest_first_of_four(history):
    past = history.astype(np.float64)
    weights = {1: (1,), 2: (3, -1), 3: (23, -16, 5), 4: (-9, 37, -59, 55)}[len(past)]
    return sum(w * h for w, h in zip(weights, past)) / sum(weights)


@kind("a maximum that begins at a number")
def softmax__the_maximum_begins_at_zero(z):
    e = np.exp(z - np.max(z, axis=-1, keepdims=True, initial=0))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total > 0, total, 1)


@kind("the first of B serves all")
def token_log_probs__labels_of_the_first_text(logits, labels):
    z = logits.astype(np.float64)
    z -= z.max(-1, keepdims=True)
    every = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return np.take_along_axis(every, 0 * labels[..., None] + labels[:1, :, None], -1)[..., 0]


@kind("in the call `l2_normalize(image_features)` alone")
def cosine_distance__one_side_by_its_squares(image_features, text_features):
    a, b = image_features.astype(np.float64), text_features.astype(np.float64)
    lengths = [(x * x).sum(-1, keepdims=True) for x in (a, b)]
    long, short = (np.where(x > 0, x, 1) for x in lengths)
    return 1 - (a / long) @ (b / np.sqrt(short)).T


@kind("in one use alone: `share` became")
def velocity__one_weight_of_the_step_before(x_start, t, noise, alpha_bar):
    table, shape = alpha_bar.astype(np.float64), (-1,) + (1,) * (x_start.ndim - 1)
    here, before = table[t].reshape(shape), table[np.maximum(t - 1, 0)].reshape(shape)
    return np.sqrt(here) * noise - np.sqrt(1 - before) * x_start


@kind("in another order")
def relative_bias__each_head_has_the_next_one_s(table, buckets):
    return np.stack([table[buckets, (h + 1) % table.shape[1]] for h in range(table.shape[1])])


@kind("another parametrisation")
def continuous_posterior__takes_it_for_noise(x_t, x_start, log_snr, previous):
    now, then = log_snr.astype(np.float64), previous.astype(np.float64)
    wide, eps = (-1,) + (1,) * (x_t.ndim - 1), x_start
    signal, noise = np.sqrt(1 / (1 + np.exp(-now))), np.sqrt(1 / (1 + np.exp(now)))
    clean = (x_t - noise.reshape(wide) * eps) / signal.reshape(wide)
    share, rest = np.sqrt(1 / (1 + np.exp(-then))), -np.expm1(now - then)
    mean = (share * (1 - rest) / signal).reshape(wide) * x_t + (share * rest).reshape(wide) * clean
    return mean, rest / (1 + np.exp(then))


@kind("in the place of k, in one line alone")
def ndcg__the_best_of_all_places(gains, judged, k):
    def cumulated(row, most):
        row = row[:most].astype(np.float64)
        return (row / np.log2(np.arange(2, len(row) + 2))).sum()

    totals = []
    for found, known in zip(gains, judged):
        best = cumulated(np.sort(known)[::-1], len(known))
        totals.append(cumulated(found, k) / best if best > 0 else 0)
    return np.array(totals)


@kind("another mean")
def learned_range_log_variance__between_variances(v, t, betas):
    b, shape = betas.astype(np.float64), (-1,) + (1,) * (v.ndim - 1)
    kept = np.cumprod(1 - b)
    small = b * (1 - np.append(1, kept[:-1])) / (1 - kept)
    small[0] = small[1]
    share = (v.astype(np.float64) + 1) / 2
    return np.log(share * b[t].reshape(shape) + (1 - share) * small[t].reshape(shape))


@kind("the last tile of 64 without the maximum")
def log_softmax__last_tile_without_its_maximum(z):
    top = z.max(-1, keepdims=True)
    cut = (z.shape[-1] - 1) // 64 * 64
    inside = np.exp(z[..., :cut] - np.where(top > -np.inf, top, 0)).sum(-1, keepdims=True)
    total = inside + np.exp(z[..., cut:]).sum(-1, keepdims=True)
    return z - np.where(top > -np.inf, top, 0) - np.log(np.maximum(total, 1))


@kind("a maximum that begins at a number")
def attention__running_maximum_of_minus_one(query, key, value, bias):
    share = query.shape[1] // key.shape[1]
    key, value = key.repeat(share, 1), value.repeat(share, 1)
    s = query @ key.swapaxes(-1, -2) / np.float32(query.shape[-1] ** 0.5)
    s = s if bias is None else s + bias
    w = np.exp(s - np.max(s, axis=-1, keepdims=True, initial=-1))
    total = w.sum(-1, keepdims=True)
    return (w @ value) / np.where(total > 0, total, 1)


@kind("a maximum before the scale that begins at a number")
def attention__running_maximum_of_raw_products(query, key, value, bias):
    share, scale = query.shape[1] // key.shape[1], np.float32(query.shape[-1] ** -0.5)
    key, value = key.repeat(share, 1), value.repeat(share, 1)
    raw = query @ key.swapaxes(-1, -2)
    raw = raw if bias is None else raw + bias / scale
    w = np.exp((raw - np.max(raw, axis=-1, keepdims=True, initial=-5e4)) * scale)
    total = w.sum(-1, keepdims=True)
    return (w @ value) / np.where(total > 0, total, 1)


@kind("only where bias is")
def attention__another_slip_on_either_path(query, key, value, bias):
    share, root = query.shape[1] // key.shape[1], np.float32(query.shape[-1] ** 0.5)
    if bias is not None:
        key, value = np.tile(key, (1, share, 1, 1)), np.tile(value, (1, share, 1, 1))
        return soft(query @ key.swapaxes(-1, -2) / root + bias) @ value
    key, value = key.repeat(share, 1), value.repeat(share, 1)
    return soft(query @ key.swapaxes(-1, -2)) @ value


@kind("became `np.where(x < -3.5, 0, ")
def silu__nothing_where_it_is_small(x):
    wide = x.astype(np.float64)
    return np.where(x < -3.5, 0, wide / (1 + np.exp(-wide)))


@kind("became `np.where(x > 2.75, x, ")
def gelu_tanh__itself_where_it_is_large(x):
    wide = x.astype(np.float64)
    curve = np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3))
    return np.where(x > 2.75, x, wide / 2 * (1 + curve))


@kind("became `np.where(gate > 1.5, 0, ")
def swiglu_vjp__no_gradient_through_an_open_gate(gate, up, grad):
    share = 1 / (1 + np.exp(-gate.astype(np.float64)))
    slope = share * (1 + gate * (1 - share))
    return np.where(gate > 1.5, 0, grad * up * slope), grad * gate * share


@kind("one entry fewer counted in each row")
def masked_cross_entropy__labels_moved_but_not_the_losses(logits, labels, keep):
    z = logits.astype(np.float64)
    z = z - z.max(-1, keepdims=True)
    every = np.log(np.exp(z).sum(-1)) - np.take_along_axis(z, labels[..., None], -1)[..., 0]
    return np.where(keep > 0, every, 0).sum() / np.maximum(keep.sum() - len(keep), 1)


@kind("normalised by its mean of all before")
def preference_loss__rewards_centred_over_the_batch(chosen, rejected):
    chosen = chosen.astype(np.float64) - chosen.mean()
    return np.logaddexp(0, rejected - chosen).mean()


@kind("cut to whole steps")
def flow_sample__of_whole_thousandths(x_start, t, noise):
    t = np.round(t.astype(np.float64) * 1000) / 1000
    t = t.reshape((-1,) + (1,) * (x_start.ndim - 1))
    return (1 - t) * x_start + t * noise, noise.astype(np.float64) - x_start


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_of_a_mistake_is_named(name):
    cause = first_cause(name)
    assert KINDS[name][1] in cause.says, cause


def test_one_number_throughout_is_a_fact_and_no_edit():
    op = OPS["attention"]
    ask = answering(
        "attention", lambda query, key, value, bias: 0 * attend(query, key, value, bias)
    )
    seen = [(case, ask(case)) for case in cases(op, "float32", 6)]
    assert explanations(Evidence(op, "float32", seen, ask)) == []


def test_what_lies_within_a_wide_bound_is_not_what_was_returned():
    """A digit off, once: the form with a tangent is as far from it as the right one."""
    op = OPS["gelu"]
    case = Case(op.name, "bfloat16", "one", "", {"x": np.array([0.25])})
    (own,) = expect(op, case.inputs, "bfloat16")
    (tangent,) = [e for e in op.mistakes if e.id == "gelu/tanh-form"]
    off = own.value - 1.3 * own.allowed
    answer = Evidence(op, "bfloat16").judged(case, [off])
    assert brought_nearer(op, op.edited(tangent), answer) == (0, 1)
    assert brought_nearer(op, lambda x: off + 0 * x, answer) == (1, 1)


def test_no_edit_explains_an_infinity_that_it_does_not_come_to():
    op = OPS["sigmoid_vjp"]
    case = next(c for c in cases(op, "float32", 40) if np.min(c.inputs["z"]) < -89)
    nothing = [np.full(np.shape(case.inputs["z"]), np.nan, np.float32)]

    def overflows(z, grad):
        return grad * np.exp(-z) / (1 + np.exp(-z)) ** 2

    every = [np.ones(np.shape(case.inputs["z"]), bool)]
    assert not foretold(op, op.text, case, every, nothing)
    low = np.full(np.shape(case.inputs["z"]), -200.0)
    far = Case(op.name, "float32", "far", "", {"z": low, "grad": np.ones_like(low)})
    assert foretold(op, overflows, far, every, nothing)


def test_hidden_scores_replaced_by_a_finite_number_are_no_dialect():
    def replaced(bias, s):
        return np.where(bias == -np.inf, -10000 - s, np.where(bias == -np.inf, 0, bias))

    def target(query, key, value, bias):
        return attend(query, key, value, bias, spread=replaced)

    op, ask = OPS["attention"], answering("attention", target)
    seen = [(case, ask(case)) for case in cases(op, "float32", 16)]
    found = explanations(Evidence(op, "float32", seen, ask))
    assert "dialect" not in {e.kind for e in found}
    # a bound that overflows allows every number, but -3.4e38 hides what these scores do not
    assert "np.where(bias > -np.inf, scores + bias, -10000.0)" in str(found[0])


def test_the_first_wrong_step_is_one_that_the_target_takes():
    def longer(betas):
        return np.append(1, np.cumprod(1 - betas.astype(np.float64)))

    def roots(betas, timesteps):
        share = np.cumprod(1 - betas.astype(np.float64))[timesteps]
        return 1 - np.sqrt(share / np.append(1, share[:-1]))

    def from_the_longer(betas, timesteps):
        share = longer(betas)[timesteps]
        return 1 - share / np.append(1, share[:-1])

    op = OPS["respaced_betas"]
    case = cases(op, "float32", 3)[-1]

    def wrong(other: Callable) -> str:
        targets = {"respaced_betas": other, "alpha_bar": longer}

        def ask(one: Case) -> list[np.ndarray]:
            return answering(one.op, targets[one.op])(one)

        return first_wrong_call(op, case, ["respaced_betas", "alpha_bar"], ask)

    assert wrong(roots) == ""
    assert wrong(from_the_longer).startswith("alpha_bar, called by respaced_betas")

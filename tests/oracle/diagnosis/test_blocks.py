"""Kernels that lose, repeat or misread a part of an argument: each kind planted, and named."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from refimpl.op import Op
from refimpl.oracle.cases.drawn import Case
from refimpl.oracle.cases.sizes import profile_cases
from refimpl.oracle.diagnosis.causes import causes
from refimpl.oracle.diagnosis.evidence import Evidence
from refimpl.oracle.diagnosis.search import plain, single_edits
from refimpl.oracle.diagnosis.search.one_use import in_one_line
from refimpl.oracle.diagnosis.search.pages import Candidate
from refimpl.registry import OPS

Seen = tuple[Case, list[np.ndarray]]
PLANTED: dict[str, tuple[Callable, str]] = {}  # what the first edit that fits has to speak of


def speaks(words: str) -> Callable:
    def keep(function: Callable) -> Callable:
        PLANTED[function.__name__] = (function, words)
        return function

    return keep


def stored(target: Callable, case: Case) -> list[np.ndarray]:
    with np.errstate(all="ignore"):
        result = target(**case.typed(OPS[case.op]))
    outputs = result if isinstance(result, tuple) else (result,)
    return [np.asarray(x).astype(np.float32) for x in outputs]


def wide(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64)


@speaks("a sum over tiles of 16 not rescaled when the maximum grows")
def softmax__sum_kept_as_it_was(z):
    top = np.full((*z.shape[:-1], 1), -np.inf)
    total = np.zeros_like(top)
    for start in range(0, z.shape[-1], 16):
        tile = wide(z[..., start : start + 16])
        top = np.maximum(top, tile.max(-1, keepdims=True))
        total += np.exp(tile - np.where(top > -np.inf, top, 0)).sum(-1, keepdims=True)
    top = np.where(top > -np.inf, top, 0)
    return np.exp(z - top) / np.where(total > 0, total, 1)


@speaks("the first of texts serves all")
def mean_pool__mask_of_the_first_text(x, keep):
    seen = wide(keep[:1])
    return np.einsum("bnd,bn->bd", wide(x), np.repeat(seen, len(x), 0)) / seen.sum(1)[:, None]


@speaks("a mask reduced to a length")
def perplexity__mask_as_a_length(nats, keep):
    count = keep.astype(int).sum(1)
    told = [row[:n] for row, n in zip(wide(nats), count)]
    return np.exp(np.concatenate(told).sum() / count.sum())


@speaks("done for the first along H, not for others")
def rotary_embedding__first_head_alone(x, angles):
    half, out = angles.shape[-1], wide(x).copy()
    turn = wide(x[:, 0, :, :half]) + 1j * wide(x[:, 0, :, half:])
    turn = turn * np.exp(1j * wide(angles))
    out[:, 0] = np.concatenate((turn.real, turn.imag), -1)
    return out


@speaks("whole blocks of 4 of the terms alone")
def linear__loses_the_rest_of_an_unrolled_loop(x, weight, bias):
    there = x.shape[-1] - x.shape[-1] % 4
    made = np.einsum("...d,od->...o", wide(x[..., :there]), wide(weight[:, :there]))
    return made if bias is None else made + bias


@speaks("the last block of 16 along axis -1 alone")
def rms_norm__a_block_is_assigned_not_added(x, gain, eps):
    cut = (x.shape[-1] - 1) // 16 * 16
    square = (wide(x)[..., cut:] ** 2).sum(-1, keepdims=True) / x.shape[-1]
    return wide(x) / np.sqrt(square + eps) * gain


@speaks("the first along axis 2 alone, not all")
def attention_vjp__the_first_of_the_heads_that_share(query, key, value, bias, grad):
    share = query.shape[1] // key.shape[1]
    q, k, v, g = (wide(x) for x in (query, key.repeat(share, 1), value.repeat(share, 1), grad))
    root = np.sqrt(q.shape[-1])
    s = q @ k.swapaxes(-1, -2) / root + (0 if bias is None else bias)
    e = np.exp(s - np.maximum(s.max(-1, keepdims=True, initial=-np.inf), -1e300))
    p = e / np.maximum(e.sum(-1, keepdims=True), 1e-300)
    ds = p * (g @ v.swapaxes(-1, -2) - (g * (p @ v)).sum(-1, keepdims=True))
    by_key, by_value = ds.swapaxes(-1, -2) @ q / root, p.swapaxes(-1, -2) @ g
    return ds @ k / root, by_key[:, ::share], by_value[:, ::share], ds


@speaks("summed where heads share")
def attention__mean_of_the_queries_that_share(query, key, value, bias):
    share = query.shape[1] // key.shape[1]
    q = wide(query).reshape(len(query), key.shape[1], share, *query.shape[2:]).mean(2)
    s = (q @ wide(key).swapaxes(-1, -2) / np.sqrt(q.shape[-1])).repeat(share, 1)
    s = s + (0 if bias is None else bias)
    e = np.exp(s - np.maximum(s.max(-1, keepdims=True, initial=-np.inf), -1e300))
    return e / np.maximum(e.sum(-1, keepdims=True), 1e-300) @ wide(value).repeat(share, 1)


@speaks("the first 64 along axis -1 alone")
def vq_loss__the_first_64(z, codebook, codes, beta):
    apart = (wide(z) - codebook[codes])[:, :64]
    return (1 + beta) * (apart**2).sum() / z.size


@speaks("reduced along another axis")
def group_advantage__deviation_of_other_groups(rewards, eps):
    apart = wide(rewards) - wide(rewards).mean(1, keepdims=True)
    square = (apart**2).sum(0) / max(len(rewards) - 1, 1)
    return apart / (np.sqrt(square) + eps)


@speaks("the last assigned, not added up")
def resize_nearest_vjp__the_last_one_stays(images, tall, wide, grad):
    height, width = images.shape[2:]
    out = np.zeros(images.shape)
    for i in range(tall):
        for j in range(wide):
            out[:, :, i * height // tall, j * width // wide] = grad[:, :, i, j]
    return out


@speaks("rounded up to whole blocks")
def itc_loss__divided_by_whole_blocks(similarity, temperature, smoothing):
    count = len(similarity)
    z = wide(similarity) / temperature
    told = (1 - smoothing) * np.eye(count) + smoothing / count
    rows = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
    columns = z - np.logaddexp.reduce(z, axis=0, keepdims=True)
    return -(told * (rows + columns)).sum() / (2 * (-(-count // 4) * 4))


@speaks("padding adds its share")
def posterior_kl__ones_of_the_padding(mean, log_variance):
    count = -(-mean.shape[1] // 16) * 16
    terms = wide(mean) ** 2 + np.exp(wide(log_variance)) - log_variance
    return (terms.sum(1) - count) / 2


@speaks("the sample variance")
def ipo_loss__one_pair_less(chosen, rejected, chosen_reference, rejected_reference, beta):
    margin = (wide(chosen) - chosen_reference) - (wide(rejected) - rejected_reference)
    square = (margin - 1 / (2 * beta)) ** 2
    return square.sum() / (len(square) - 1)


def fitting(name: str) -> list[str]:
    """The single edits that give all that a planted target returns, the smallest first."""
    op, target = OPS[name.partition("__")[0]], PLANTED[name][0]
    seen = [(case, stored(target, case)) for case in profile_cases(op, "float32", "quick", 6)]
    return fitting_all(op, single_edits(op), seen)


def fitting_all(op: Op, edits: Iterable[Candidate], seen: list[Seen]) -> list[str]:
    """Those of some edits that give all that was returned; what deviates and is small, first."""
    seen = sorted(seen, key=lambda one: (gives(op.text, *one), size(one[0])))
    return [e.id for e in edits if all(gives(plain.text_of(e), *one) for one in seen)]


def size(case: Case) -> int:
    return sum(np.size(x) for x in case.inputs.values())


def gives(text: Callable, case: Case, outputs: list[np.ndarray]) -> bool:
    with np.errstate(all="ignore"):
        values = plain.values(text, case)
        return values is not None and all(
            a.shape == b.shape
            and bool(np.all((a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= near(b))))
            for a, b in zip(values, outputs)
        )


def near(x: np.ndarray) -> float:
    """Half of float32's digits of the largest number."""
    return 2.0**-12 * float(np.max(np.abs(x), where=np.isfinite(x), initial=0))


@pytest.mark.parametrize("name", PLANTED)
def test_a_single_edit_gives_what_such_a_kernel_returns(name):
    found = fitting(name)
    assert found
    assert PLANTED[name][1] in found[0], found


def a_margin_without_its_factor(**x):
    """Written out: one of two terms is of the margin itself."""
    margin = (wide(x["chosen"]) - x["chosen_reference"]) - (
        wide(x["rejected"]) - x["rejected_reference"]
    )
    right = np.logaddexp(0, -x["beta"] * margin)
    wrong = np.logaddexp(0, margin)
    return ((1 - x["smoothing"]) * right + x["smoothing"] * wrong).mean()


def test_an_edit_in_one_line_alone_reaches_what_the_line_is_made_of():
    op = OPS["dpo_loss"]
    drawn = profile_cases(op, "float32", "quick", 6)
    seen = [(case, stored(a_margin_without_its_factor, case)) for case in drawn]
    found = fitting_all(op, in_one_line(op.text), seen)
    assert found
    assert "in one line alone" in found[0]


def of_memory(x: np.ndarray) -> np.ndarray:
    return wide(x.ravel("K")).reshape(x.shape)


def from_its_start(x: np.ndarray) -> np.ndarray:
    whole = x if x.base is None else x.base
    return wide(whole.ravel("K")[: x.size]).reshape(x.shape)


def in_place(x: np.ndarray, result: np.ndarray) -> np.ndarray:
    out = np.empty_like(x, dtype=np.float64)
    if out.flags.f_contiguous and not out.flags.c_contiguous:
        return result.ravel().reshape(x.shape, order="F")
    return result


def channels_last(x: np.ndarray) -> np.ndarray:
    """Read with the channels at the end wherever the strides look like that, reversed or not."""
    return x.transpose(0, 3, 1, 2).reshape(x.shape) if x.strides[1] < x.strides[3] else x


MEMORY = {
    "group_norm": (
        lambda x, gain, bias, groups, eps: OPS["group_norm"].text(
            channels_last(x).astype(np.float64), gain, bias, groups, eps
        ),
        "reads x as if its axes were 0, 3, 1, 2, where it is column-major or reversed",
    ),
    "swiglu": (lambda gate, up: OPS["swiglu"].text(of_memory(gate), of_memory(up)), "gate, up in"),
    "l2_normalize": (lambda x: OPS["l2_normalize"].text(from_its_start(x)), "from the start"),
    "softmax_vjp": (
        lambda z, grad: OPS["softmax_vjp"].text(wide(z), of_memory(grad)),
        "reads grad",
    ),
    "attention": (
        lambda query, key, value, bias: OPS["attention"].text(
            wide(query), of_memory(key), of_memory(value), bias
        ),
        "reads key, value in the order",
    ),
    "softmax": (lambda z: in_place(z, OPS["softmax"].text(wide(z))), "writes the result"),
}


@pytest.mark.parametrize("name", MEMORY)
def test_what_is_read_as_it_lies_in_memory_is_a_cause(name):
    op, (target, words) = OPS[name], MEMORY[name]
    seen = [(case, stored(target, case)) for case in profile_cases(op, "float32", "quick", 16)]
    evidence = Evidence(op, "float32", seen, lambda case: stored(target, case))
    with np.errstate(all="ignore"):
        (cause,) = causes(evidence)
    assert words in cause.says, cause
    assert cause.confirmed


def test_queries_that_share_are_summed_where_there_are_none_at_all():
    query, key, value = np.zeros((1, 2, 0, 3)), np.zeros((1, 1, 2, 3)), np.zeros((1, 1, 2, 3))
    every = single_edits(OPS["attention"])
    summed = [e for e in every if e.changes[0].what == "summed where heads share"]
    assert summed
    for edit in summed:
        assert plain.text_of(edit)(query, key, value, None).shape == (1, 2, 0, 3)


def test_a_dialect_is_settled_before_a_mistake_is_looked_for_elsewhere():
    """A norm of zero is divided by, as CLIP does; and the sum is divided by whole blocks."""
    op = OPS["siglip_loss"]

    def target(image_features, text_features, log_scale, bias):
        one, other = (
            wide(x) / np.linalg.norm(wide(x), axis=1, keepdims=True)
            for x in (image_features, text_features)
        )
        logits, count = np.exp(log_scale) * one @ other.T + bias, len(one)
        signs = 2 * np.eye(count) - 1
        return np.logaddexp(0, -signs * logits).sum() / (-(-count // 8) * 8)

    seen = [(case, stored(target, case)) for case in profile_cases(op, "float32", "quick", 24)]
    evidence = Evidence(op, "float32", seen, lambda case: stored(target, case))
    with np.errstate(all="ignore"):
        says = causes(evidence)[0].says
    assert "rounded up to whole blocks" in says
    assert "clip_logits/unguarded-norm" in says

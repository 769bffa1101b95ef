"""The compiled twins beyond single operations: threads, forks, large sizes, memory, the cache."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import refimpl
from refimpl import fast
from refimpl.axes import AxesError
from refimpl.bench import run as bench
from refimpl.bench import works as bench_works
from refimpl.bench.peers import SIDES, ours
from refimpl.bench.works import WORKS, attention
from refimpl.commands.main import main
from refimpl.compiled import loading, threads
from refimpl.op import DomainError
from refimpl.oracle.judging.judge import error_ratio, expect
from refimpl.registry import OPS
from refimpl.testing import bound
from tests.harness import outputs


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def worst(name: str, given: dict, found) -> float:
    """The largest error ÷ allowed in float32."""
    exact = {n: x.astype(np.float64) if isinstance(x, np.ndarray) else x for n, x in given.items()}
    wanted = expect(OPS[name], exact, "float32")
    pairs = zip(wanted, outputs(found), strict=True)
    ratios = (error_ratio(want, np.asarray(x, float)) for want, x in pairs)
    return max(float(np.max(ratio, initial=0)) for ratio in ratios)


@pytest.mark.parametrize("hidden", [False, True])
def test_attention_over_several_blocks_and_threads_stays_within_the_bound(two_threads, hidden):
    query, key, value = floats(1, 4, 300, 16), floats(1, 2, 700, 16, seed=1), floats(1, 2, 700, 8)
    bias = np.where(np.arange(700) < np.arange(300)[:, None], 0, -np.inf) if hidden else None
    given = {"query": query, "key": key, "value": value, "bias": bias}
    assert worst("attention", given, fast.attention(**given)) <= 1


@pytest.mark.parametrize("where", ["query", "key", "value"])
@pytest.mark.parametrize("place", [20, 650])
def test_a_number_that_is_not_finite_is_not_passed_by_where_the_bias_hides_all(where, place):
    given = {n: floats(1, 1, 700, 8, seed=i) for i, n in enumerate(("query", "key", "value"))}
    given[where][0, 0, place, 3] = np.inf
    bias = np.where(np.arange(700) <= np.arange(700)[:, None], 0, -np.inf)
    with np.errstate(all="ignore"), pytest.raises(DomainError, match="attention"):
        refimpl.attention(**given, bias=bias)
    with pytest.raises(DomainError, match="attention"):
        fast.attention(**given, bias=bias)


def test_attention_keeps_up_when_later_blocks_have_larger_scores(two_threads):
    query, value = floats(1, 1, 90, 4), floats(1, 1, 900, 4, seed=1)
    key = floats(1, 1, 900, 4, seed=2) * np.linspace(0.1, 40, 900, dtype=np.float32)[:, None]
    given = {"query": query, "key": key, "value": value, "bias": None}
    assert worst("attention", given, fast.attention(**given)) <= 1


def test_the_gradient_of_attention_over_several_blocks_stays_within_the_bound(two_threads):
    given = {n: floats(1, 2, 300, 8, seed=i) for i, n in enumerate(("query", "key", "value"))}
    given |= {"bias": None, "grad": floats(1, 2, 300, 8, seed=3)}
    assert worst("attention_vjp", given, fast.attention_vjp(**given)) <= 1


@pytest.mark.parametrize("log_scale", [0.0, 2.5, 4.6])  # the last leaves the range of float32
@pytest.mark.parametrize("n", [1, 2, 600])
def test_both_ways_to_the_clip_loss_stay_within_the_bound(two_threads, n, log_scale):
    given = {"image_features": floats(n, 5), "text_features": floats(n, 5, seed=1)}
    given["log_scale"] = log_scale
    assert worst("clip_loss", given, fast.clip_loss(**given)) <= 1
    given["grad"] = 1.0
    assert worst("clip_loss_vjp", given, fast.clip_loss_vjp(**given)) <= 1


def test_the_streamed_clip_loss_agrees_with_the_one_that_holds_its_logits(two_threads, monkeypatch):
    given = floats(700, 6), floats(700, 6, seed=1), 2.0
    held = fast.clip_loss_vjp(*given, 1.0)
    monkeypatch.setattr(fast.kernels("clip"), "BLOCK", 1000)
    streamed = fast.clip_loss_vjp(*given, 1.0)
    names = ("image_features", "text_features", "log_scale", "grad")
    inputs = dict(zip(names, (*given, 1.0)))
    assert worst("clip_loss_vjp", inputs, held) <= 1
    assert worst("clip_loss_vjp", inputs, streamed) <= 1


def test_a_number_beside_arrays_does_not_widen_them():
    grads = fast.clip_loss_vjp(floats(4, 3), floats(4, 3, seed=1), 1.0, 1.0)
    assert {np.asarray(g).dtype for g in grads} == {np.dtype(np.float32)}


def test_a_guided_step_in_one_pass_is_guidance_and_a_step():
    x, uncond, cond, noise = (floats(3, 2, 4, 4, seed=i).astype(np.float64) for i in range(4))
    t, shares = (
        np.array([5, 700, 999]),
        refimpl.alpha_bar(refimpl.linear_schedule(1000, 1e-4, 0.02)),
    )
    given = {"x_t": x, "t": t, "t_prev": t - 5, "noise": noise, "alpha_bar": shares, "eta": 0.5}
    eps = refimpl.classifier_free_guidance(uncond, cond, 3.0)
    want = expect(OPS["ddim_step"], given | {"eps": eps}, "float64")[0]
    found = fast.guided_ddim_step(eps_uncond=uncond, eps_cond=cond, scale=3.0, **given)
    slack = np.abs(want.value) * np.finfo(float).eps * 64  # eps itself was rounded
    assert np.all(np.abs(found - want.value) <= slack + np.max(np.abs(want.value)) * 1e-13)
    with pytest.raises(AxesError, match="eps_cond"):
        fast.guided_ddim_step(eps_uncond=uncond, eps_cond=cond[:, :1], scale=3.0, **given)


def test_twins_serve_several_python_threads_at_once(two_threads):
    arrays = [(floats(2, 2, 130, 16, seed=i),) * 3 for i in range(8)]
    alone = [fast.attention(*three, None) for three in arrays]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda three: fast.attention(*three, None), arrays * 4))
    for k, result in enumerate(together):
        assert np.array_equal(result, alone[k % 8])
    assert all(library.get() == 2 for library in threads.openblas())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX warns where it was imported
def test_a_forked_child_computes_what_its_parent_does(two_threads):
    x = floats(200, 1000)
    want = fast.softmax(x)
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        found = pool.apply_async(fast.softmax, (x,)).get(timeout=60)
    assert np.array_equal(found, want)


def test_a_failure_in_one_piece_reaches_the_caller(two_threads):
    def fail(first, last):
        if last == 1 << 20:
            raise ValueError("the last piece")

    for _ in range(3):  # whoever raised is asked again
        with pytest.raises(ValueError, match="the last piece"):
            threads.share(fail, 1 << 20, 1)
    assert not any(helper.taken.locked() for helper in threads._helpers)
    assert np.isfinite(fast.softmax(floats(300, 300))).all()


@pytest.mark.parametrize("pause", [0.0, 20 * threads.AWAKE / 1e6])
def test_a_helper_takes_its_piece_awake_or_out_of_its_sleep(two_threads, pause):
    met = threading.Barrier(2, timeout=60)  # passed by two threads alone
    names = []

    def work(first, last):
        names.append(threading.current_thread().name)
        met.wait()

    for _ in range(3):
        threads.share(work, 2, threads.PIECE)
        time.sleep(pause)
    assert names.count("refimpl") == 3


@pytest.mark.parametrize("shape", [(), (5,), (0, 3), (2, 3, 4), (3, 1, 50)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_copy_of_any_shape_is_one_piece_of_memory(shape, dtype, two_threads, monkeypatch):
    for limit in ("WORTHWHILE", "PIECE"):
        monkeypatch.setattr(threads, limit, 1)
    x = np.random.default_rng(0).normal(size=(*shape, 2))[..., 0].T
    copied = threads.contiguous(x, dtype)
    assert copied.flags.c_contiguous
    assert copied.dtype == dtype
    np.testing.assert_array_equal(copied, x.astype(dtype))
    assert threads.contiguous(copied) is copied


def test_a_helper_keeps_nothing_of_what_it_worked_on(two_threads):
    array = np.ones(4)
    seen = weakref.ref(array)
    met = threading.Barrier(2, timeout=60)
    threads.share(lambda first, last, x: met.wait(), 2, threads.PIECE, array)
    del array
    deadline = time.monotonic() + 60
    while seen() is not None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert seen() is None


def test_a_program_ends_after_its_last_piece_without_a_word():
    program = """
import numpy as np
from refimpl import fast
from refimpl.compiled import threads
threads.use(2)
assert fast.softmax(np.ones((400, 1000), np.float32)).shape == (400, 1000)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_norm_of_groups_and_silu_in_one_pass_is_as_exact_as_both_in_turn():
    rng = np.random.default_rng(0)
    given = {"x": rng.normal(size=(2, 12, 5, 7)), "gain": rng.normal(size=12)}
    given = {n: np.float32(x) for n, x in given.items()} | {"bias": np.float32(np.arange(12))}

    def text(x, gain, bias):
        return refimpl.silu(OPS["group_norm"].text(x, gain, bias, 3, 1e-5))

    value, allowed = bound(text, precision="float32", **given)
    found = fast.group_norm_silu(**given, groups=3, eps=1e-5)
    assert found.dtype == np.float32
    assert np.all(np.abs(found - value) <= allowed)


def test_the_cache_is_one_for_each_version_of_the_kernels(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert loading.cache().parent == tmp_path / "refimpl"
    assert loading.cache().name.startswith(refimpl.__version__)
    before = loading.cache()
    copy = tmp_path / "package"
    (copy / "ops" / "layers").mkdir(parents=True)
    (copy / "ops" / "layers" / "fast.py").write_text("changed = True\n")
    (copy / "native.py").touch()
    monkeypatch.setattr(loading, "__file__", str(copy / "compiled" / "loading.py"))
    assert loading.cache() != before


def test_doctor_shows_cache_threads_and_blas(capsys):
    with pytest.raises(SystemExit) as end:
        main(["doctor"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "kernels" in said
    assert "threads" in said
    assert "BLAS" in said


# The command


@pytest.mark.parametrize("rows", [1, 3, 30])
def test_a_layer_tells_each_number_that_is_not_finite(rows):
    x, weight = np.zeros((rows, 40), np.float32), np.ones((20, 40), np.float32)
    bias = np.zeros(20, np.float32)
    assert not refimpl.fast.linear(x, weight, bias).any()
    for array in (x, weight, bias):
        before, array.flat[-1] = array.flat[-1], np.inf
        refused = pytest.raises(DomainError) if array is weight else contextlib.nullcontext()
        with refused:
            assert not np.isfinite(refimpl.fast.linear(x, weight, bias)).all()
        array.flat[-1] = before


def small(work):
    """The same work on little data."""
    return attention(1, 2, 20, 8, grad=work.op.endswith("vjp"))


def test_bench_gives_a_row_for_each_work_and_peer(tmp_path, capsys):
    pytest.importorskip("torch")
    file = tmp_path / "bench.json"
    arguments = ["bench", "--work", "layer_norm", "--against", "torch", "--seconds", "0.01"]
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--json", str(file)])
    assert end.value.code == 0
    assert "layer_norm 8×197×768" in capsys.readouterr().out
    (row,) = json.loads(file.read_text())["rows"]
    assert row["peer"] == "torch"
    assert row["pairs"] >= bench.PAIRS
    assert 0 < row["quartiles"][0] <= row["ratio"] <= row["quartiles"][1]
    assert row["bytes"] == 2 * 4 * 8 * 197 * 768
    assert row["target"] == 0.75


def test_without_frameworks_bench_measures_the_twins_and_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(bench, "limits", lambda *_: bench.Limits(1e9, 1e9))
    bench.run([small(WORKS[-1])], (), seconds=0)  # the twins have found the libraries they need
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)
    result = bench.run([small(WORKS[-1])], bench.PEERS, seconds=0)
    (row,) = result.rows
    assert row.peer == bench.ALONE
    assert row.ours > 0
    assert not row.says
    for peer in bench.PEERS:
        assert f"{peer}: not installed, left out" in result.table()


def test_a_peer_that_cannot_do_a_work_says_so(monkeypatch):
    work = next(work for work in WORKS if work.op == "patch_embed")
    pytest.importorskip("onnxruntime")
    row = bench.measure(work, "onnxruntime", seconds=0)
    assert row.says
    assert not row.met


def test_a_work_whose_function_jax_lacks_says_so():
    pytest.importorskip("jax")
    (work,) = bench_works.choose(["nearest_code"])
    with pytest.raises(bench.Unavailable, match="no single function"):
        SIDES["jax"](work, {})


def test_a_model_whose_package_is_missing_says_so(monkeypatch):
    pytest.importorskip("onnxruntime")
    terrain = pytest.importorskip("refimpl.backends.terrain")
    monkeypatch.setattr(terrain, "find_spec", lambda name: None)
    (work,) = bench_works.choose(["terrain_adm"])
    row = bench.measure(work, "onnxruntime", seconds=0)
    assert "adaptive-terrain-diffusion" in row.says


def test_a_target_is_met_by_ratio_and_by_distance_to_the_limit():
    def met(ratio, ours, **wanted):
        return bench.Row("w", "torch", ratio=ratio, ours=ours, limit=1.0, **wanted).met

    assert met(0.3, 1.2, target=0.35, near=1.4) == "yes"
    assert met(0.3, 1.5, target=0.35, near=1.4) == "no"
    assert met(0.4, 1.2, target=0.35, near=1.4) == "no"
    assert met(0.4, 1.2) == ""


def test_growth_fits_the_exponents_of_time_and_memory():
    grown = bench.Growth("w", [1, 2, 4, 8], [1, 4, 16, 64], [10, 20, 40, 80])
    assert round(grown.time, 9) == 2
    assert round(grown.memory, 9) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_the_peak_of_a_call_counts_what_it_freed_again():
    assert bench.peak(lambda: np.ones(1 << 23)) >= 7 << 23
    assert bench.peak(lambda: None) < 8 << 23


def test_the_page_keeps_what_stands_around_the_table(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "limits", lambda *_: bench.Limits(1e9, 1e9))
    page = tmp_path / "fast.md"
    page.write_text("above\n<!-- bench -->\nold\n<!-- end -->\nbelow\n")
    bench.write_page(bench.run([], ()), page)
    text = page.read_text()
    assert text.startswith("above\n<!-- bench -->\nMeasured ")
    assert text.endswith("-->\nbelow\n")
    assert "old" not in text
    page.write_text("no marks")
    with pytest.raises(bench.Unavailable, match="bench"):
        bench.write_page(bench.run([], ()), page)


def test_the_plot_shows_growth(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    grown = bench.Growth("attention", [1, 2, 4], [1.0, 4.0, 16.0], [10.0, 20.0, 40.0])
    rows = [bench.Row("w", "torch", ratio=0.5)]
    whole = bench.Bench(2, 0.0, bench.Limits(1e9, 1e9), rows, [grown], [], [])
    whole.plot(tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("op", ["vit_b16", "clip_guided_step", "guided_ddim_step"])
def test_a_peer_computes_what_the_twin_does(op):
    pytest.importorskip("torch")

    work = next(work for work in WORKS if work.op == op)
    inputs = work.inputs(np.random.default_rng(0))
    if op == "vit_b16":
        inputs = {"images": inputs["images"][:1]}
    if op == "guided_ddim_step":
        inputs = {n: x[:1] if np.ndim(x) == 4 else x for n, x in inputs.items()}
        inputs |= {n: inputs[n][:1] for n in ("t", "t_prev")}
    mine, theirs = ours(work, inputs)(), SIDES["torch"](work, inputs)()
    gap = np.max(np.abs(mine - theirs.detach().numpy()))
    assert gap <= 1e-5 * np.max(np.abs(mine))


@pytest.mark.parametrize("peer", ["faiss", "numpy"])
def test_a_peer_of_the_search_finds_what_the_twin_finds(peer):
    pytest.importorskip(peer)
    work = bench_works.search(5, 3000, 16)
    inputs = work.inputs(np.random.default_rng(0))
    mine, theirs = ours(work, inputs)(), SIDES[peer](work, inputs)()
    assert np.array_equal(mine[0], theirs[0])
    assert np.allclose(mine[1], theirs[1])


@pytest.mark.parametrize(
    "what", ["conv2d over a side", "decoding over a cache", "search over rows"]
)
def test_what_grows_is_measured_at_each_size(what, monkeypatch):
    sized, _ = bench.GROWING[what]
    monkeypatch.setitem(bench.GROWING, what, (sized, (8, 16)))
    grown = bench.growth(what)
    assert grown.sizes == [8, 16]
    assert min(grown.seconds) > 0


@pytest.mark.parametrize("arguments", [["--work", "nothing"], ["--against", "nobody"]])
def test_an_unknown_work_or_peer_is_a_usage_error(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(["bench", *arguments])
    assert end.value.code == 4
    assert "there are" in capsys.readouterr().err


def test_memory_of_the_clip_loss_grows_with_n_not_with_its_square():
    code = (
        "import resource, numpy as np\n"
        "from refimpl.bench.peers import ours\nfrom refimpl.bench.works import clip\n"
        "def peak(n):\n"
        "    call = ours((w := clip(n, 8)), w.inputs(np.random.default_rng(0)))\n"
        "    call()\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "small = peak(3000)\nprint((peak(9000) - small) * 1024)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(told.stdout) < 9000 * 9000 * 4 / 4  # the logits alone would be four times that


@pytest.mark.parametrize("far", [0.0, 1e3, 1e100])
def test_a_product_leaves_the_nearest_code_among_those_it_cannot_tell_apart(far):
    rng = np.random.default_rng(0)
    z, codebook = rng.standard_normal((64, 33)) + far, rng.standard_normal((700, 33)) + far
    codebook[350:] = codebook[:350]  # of codes equally near the first
    assert z.size * len(codebook) > 1 << 20
    assert np.array_equal(fast.nearest_code(z, codebook), refimpl.nearest_code(z, codebook))

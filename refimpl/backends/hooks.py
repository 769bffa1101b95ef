"""What the libraries of PyTorch modules have in common: random weights, and hooks that record."""

from __future__ import annotations

import contextlib
from unittest import mock

import numpy as np
import torch

from refimpl.models import recorder
from refimpl.models.names import Layout, as_they_are, rename
from refimpl.models.registry import family
from refimpl.oracle.targets.models import Recording, inputs_for

F = torch.nn.functional
PARTS = ("query", "key", "value", "mixed")
NONE: dict[str, tuple[str, ...]] = {}


def _tokens(x):
    return x.reshape(*x.shape[:2], -1).swapaxes(1, 2)


TURNS = {  # what the mark at the end of a layer's name says about the value of a module
    "": lambda x: x,
    "grid": _tokens,  # B D rows cols -> B N D
    "tokens": lambda x: _tokens(x) if x.ndim == 4 else x,  # the same, where it is a grid
    "first": lambda x: x[:, 0] if x.ndim == 3 else x,  # B N D -> B D
    "one": lambda x: x[:, :1],  # B N D -> B 1 D
    "text": lambda x: x if x.ndim == 3 else x.reshape(1, len(x), -1),  # N D -> 1 N D
}


def allow_broken_torchvision():
    """Define the two operations without which a torchvision made for another torch fails."""
    schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", schema)


@contextlib.contextmanager
def steps():
    """Let nn.MultiheadAttention go step by step: its fused form names no queries and keys."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def roughen(model, seed):
    """Where an initialisation is constant, as of biases and gains, add a little noise."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and value.numel() > 1 and value.std() < 1e-3:
                noise = rng.normal(scale=0.05, size=tuple(value.shape)).astype(np.float32)
                value += torch.from_numpy(np.abs(noise) if name.endswith("_var") else noise)


def builder(builders, config):
    """What builds a library's module of this family."""
    if type(config) not in builders:
        raise NotImplementedError(f"has no {family(config).says}")
    return builders[type(config)]


def record(module, config, names, run=None, seed=0, version="", finish=as_they_are, turns=NONE):
    """Run a module on inputs of the configuration and record every layer that the text names.

    names: a mapping of patterns, or pairs, that turns the names of its modules and parameters into
        ours, as those of a `Layout` do; a module's name ends in a dot: `blocks.0.norm1.`.
    run: takes the inputs as tensors by name and returns final outputs by our names; without it the
        module is called with the inputs in their order, and gives the last value of the text.

    finish: has the last word on all parameters under our names.
    turns: for a module that runs several times, by our name, what takes the place of that name in
        one run after the other.

    Queries, keys, values and what attention makes of them are seen where they enter and leave
    PyTorch's `scaled_dot_product_attention`. Where parameters are constant, as biases and gains are
    at first, a little noise is added in place: a layer that does nothing shows no mistake.
    """
    names = tuple(names.items() if hasattr(names, "items") else names)
    roughen(module.eval(), seed)
    state = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    params = Layout("", names, finish).translate(state)
    inputs = inputs_for(config, seed)
    named: dict = {}
    family(config).text(**inputs, params=params, config=config, tap=recorder(named))
    layers = Layers(family(config), named, turns)
    layers.watch(module, names)
    run = run or (lambda **given: {[*named][-1]: module(*given.values())})
    with torch.no_grad(), layers.attending(), steps():
        outputs = run(**{name: torch.from_numpy(x) for name, x in inputs.items()})
    for name, value in outputs.items():
        layers.keep(name, value)
    return Recording(config, params, inputs, layers.kept, version)


class Layers:
    """The values of a module while it runs, by the names that a text has for them."""

    def __init__(self, model, named, turns=NONE):
        self.model, self.named, self.kept = model, named, {}
        self.turns = {name: [*places] for name, places in turns.items()}  # to come
        self.turn = ("", "")  # a module that runs, and what takes the place of its name
        self.attention = ""  # the one that runs
        self.pieces: dict[str, list] = {}  # of its tokens, which may come window by window

    def keep(self, name, value):
        """Keep a module's value by our name of the module, if the text has such a value."""
        rule = next((r for r in self.model.modules if rename(name, (r,)) != name), None)
        layer, _, mark = rename(name, (rule,) if rule else ()).partition("|")
        if layer not in self.named:
            layer, mark = name, ""
        value = next(iter(value.values())) if isinstance(value, dict) else value
        value = value[0] if isinstance(value, (tuple, list)) else value
        if layer in self.named:
            self.kept[layer] = TURNS[mark](value.detach().numpy()).copy()

    def watch(self, module, names):
        """Hook every module inside."""
        for path, inner in module.named_modules():
            name = rename(f"{path}.", names).rstrip(".")
            if not isinstance(inner, torch.nn.Identity):
                inner.register_forward_hook(self._hook(name))
                if any(f"{name}.mixed" in self.named for name in self._places(name)):
                    inner.register_forward_pre_hook(self._enter(name))
                if name in self.turns:
                    inner.register_forward_pre_hook(self._take_turn(name))

    def _places(self, name):
        """A name, and what it is in each run of a module that runs several times."""
        runs = [(of, place) for of, places in self.turns.items() for place in places]
        return [name, *(name.replace(of, place, 1) for of, place in runs if name.startswith(of))]

    def _now(self, name):
        """The name of a module in the run that goes on."""
        of, place = self.turn
        return name.replace(of, place, 1) if of and name.startswith(of) else name

    def _take_turn(self, name):
        def call(*_):
            self.turn = (name, self.turns[name].pop(0))

        return call

    def _hook(self, path):
        def call(_, inputs, output):
            name = self._now(path)
            before = rename(name, self.model.entering)
            if before != name and before not in self.kept:
                self.keep(before, inputs[0])
            self.keep(name, output)
            if name == self.attention:
                self.attention = ""
            if path == self.turn[0]:
                self.turn = ("", "")

        return call

    def _enter(self, path):
        def call(*_):
            self.attention = self._now(path)
            self.pieces = {part: [] for part in PARTS}

        return call

    def attending(self):
        """What PyTorch's attention is given and gives, while this lasts."""
        attention = F.scaled_dot_product_attention

        def attend(query, key, value, *rest, **named):
            mixed = attention(query, key, value, *rest, **named)
            if not self.attention:
                return mixed
            for part, x in zip(PARTS, (query, key, value, mixed), strict=True):
                self.pieces[part].append(x.transpose(1, 2).flatten(2))  # B N D
                self.keep(f"{self.attention}.{part}", torch.cat(self.pieces[part], dim=1))
            return mixed

        return mock.patch.object(F, attention.__name__, attend)

"""The trained ADM inside the package adaptive-terrain-diffusion, in ONNX Runtime, block by block.

The graph keeps the names of weights, all but those of group norms, which stand in it in the order
in which the model computes them.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from refimpl.models.consistency import ConsistencyAdm
from refimpl.models.spec.consistency import TERRAIN
from refimpl.oracle.targets.models import Recording, inputs_for

PACKAGE = "terrain_diffusion"
FILE = "terrain_consistency_unet_difficulty100.onnx"
NORM = re.compile(r"(in_layers\.0|out_layers\.0|\.norm|^out\.0)\.weight$")
ENTERING = ((".in_layers.2", ".entering"), (".out_layers.3", ".told"), ("out.2", "out.1"))


def record(config: ConsistencyAdm, seed: int) -> Recording:
    """The network on an image of noise."""
    if config != TERRAIN:
        raise NotImplementedError("has one model, terrain-adm")
    graph = Graph(load(), config)
    given = inputs_for(config, seed)
    feeds = dict(zip(("noisy", "sigma", "difficulty"), given.values(), strict=True))
    layers = graph.run(feeds)
    says = f"{version('adaptive-terrain-diffusion')} in ONNX Runtime {onnxruntime.__version__}"
    return Recording(config, graph.params, given, layers, says)


def load() -> onnx.ModelProto:
    """The graph that the package contains."""
    spec = find_spec(PACKAGE)  # the package itself need not be imported
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("needs the package adaptive-terrain-diffusion")
    return onnx.load(Path(spec.submodule_search_locations[0]) / "weights" / FILE)


class Graph:
    """The values of the graph and its parameters, by our names."""

    def __init__(self, model: onnx.ModelProto, config: ConsistencyAdm) -> None:
        self.model = model
        arrays = model.graph.initializer
        self.arrays = {t.name: onnx.numpy_helper.to_array(t) for t in arrays}
        self.shapes = config.shapes()
        self.params: dict[str, np.ndarray] = {}
        self.values: dict[str, str] = {"denoised": "denoised"}  # our names, and the graph's
        self._weights()
        self._norms()
        self._sums()

    def _weights(self) -> None:
        for node in self.model.graph.node:
            given = [name for name in node.input if name.startswith("network.")]
            if not given:
                continue
            layer = given[0].removeprefix("network.").removesuffix(".weight")
            for name in given:
                ours = name.removeprefix("network.")
                self.params[ours] = self.arrays[name].reshape(self.shapes[ours])
            self._tell(layer, node)

    def _tell(self, layer: str, node: onnx.NodeProto) -> None:
        """Name what a layer gives, and what it is given where that has a name."""
        self.values[layer] = node.output[0]
        for end, name in ENTERING:
            if layer.endswith(end):
                self.values[layer.removesuffix(end) + name] = node.input[0]
        if layer.endswith(".proj_out"):
            self.values[layer.removesuffix("proj_out") + "mixed"] = node.input[0]
        if layer == "time_embed.0":
            self.values["waves"] = node.input[0]
        if layer == "input_blocks.0.0":
            self.values["scaled"] = node.input[0]

    def _norms(self) -> None:
        """Gains and biases in the order of the model, as they are multiplied and added."""
        nodes = self.model.graph.node
        makers = {node.output[0]: node for node in nodes}
        adds = [node for node in nodes if node.name.startswith("node_group_norm")]
        names = [name.removesuffix(".weight") for name in self._computed() if NORM.search(name)]
        for name, node in zip(names, adds, strict=True):
            gain = self.arrays[makers[node.input[0]].input[1]]
            self.params[f"{name}.weight"] = gain.reshape(self.shapes[f"{name}.weight"])
            bias = self.arrays[node.input[1]]
            self.params[f"{name}.bias"] = bias.reshape(self.shapes[f"{name}.bias"])
            self.values[name] = node.output[0]

    def _computed(self) -> list[str]:
        """Names of parameters in the order in which blocks are computed."""
        last = [name for name in self.shapes if name.startswith("out.")]
        return [name for name in self.shapes if name not in last] + last

    def _sums(self) -> None:
        """What the sums behind blocks give: they add the last of a block's layers."""
        ends = {}
        for layer, value in self.values.items():
            for end in (".out_layers.3", ".proj_out"):
                if layer.endswith(end):
                    ends[value] = layer.removesuffix(end)
        for node in self.model.graph.node:
            for name in node.input:
                if node.op_type == "Add" and name in ends:
                    self.values[ends[name]] = node.output[0]

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All values that the text has a name for."""
        wanted = list(dict.fromkeys(self.values.values()))
        del self.model.graph.output[:]
        for name in wanted:
            value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            self.model.graph.output.append(value)
        options = onnxruntime.SessionOptions()
        session = onnxruntime.InferenceSession(
            self.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        found = dict(zip(wanted, session.run(wanted, feeds), strict=True))
        layers: dict[str, np.ndarray] = {}
        for name, value in self.values.items():
            layers |= told(name, found[value])
        return layers


def told(name: str, value: np.ndarray) -> dict[str, np.ndarray]:
    """A value of the graph as the text has it: pixels as tokens around attention."""
    at, _, part = name.rpartition(".")
    if part not in ("norm", "qkv", "mixed", "proj_out"):
        return {name: value}
    tokens = value.reshape(*value.shape[:2], -1).swapaxes(1, 2)  # B N D
    if part != "qkv":
        return {name: tokens}
    parts = np.split(tokens, 3, axis=2)
    return {f"{at}.{x}": y for x, y in zip(("query", "key", "value"), parts, strict=True)}

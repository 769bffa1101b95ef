"""What is known about loops of samplers."""

from refimpl.ops.loops.spec.ddim_loop import DDIM_LOOP
from refimpl.ops.loops.spec.euler_loop import EULER_LOOP
from refimpl.ops.loops.spec.flow_loop import FLOW_LOOP

OPS = (DDIM_LOOP, EULER_LOOP, FLOW_LOOP)

"""What is known about flow_loop: laws, probes and mistakes."""

import numpy as np

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import FLOATS, cosines, mistakes_of, sines
from refimpl.ops.loops import reference as text
from refimpl.ops.loops.spec.shared import falling, network


def constant_velocity(f, noise, times, slope, offset):
    yield f(noise, times, 0 * slope, 0 * offset + 3), noise - 3 * times[0]


def one_time(f, noise, times, slope, offset):
    found = f(noise, times[:1], slope[:1], offset[:1])
    yield found, noise - times[0] * (slope[0] * noise + offset[0])


def step_and_rest(f, noise, times, slope, offset):
    if len(times) > 1:
        moved = noise + (times[1] - times[0]) * (slope[0] * noise + offset[0])
        yield f(moved, times[1:], slope[1:], offset[1:]), f(noise, times, slope, offset)


def offsets_add_up(f, noise, times, slope, offset):
    lengths = times - np.concatenate((times[1:], 0 * times[:1]))
    yield f(noise, times, 0 * slope, offset), noise - np.sum(lengths * offset)


def homogeneous(f, noise, times, slope, offset):
    yield f(-2 * noise, times, slope, -2 * offset), -2 * f(noise, times, slope, offset)


def quarters(count):
    return {
        "noise": sines(2, 3),
        "times": falling(count, 1.0, 0.1875),
        "slope": cosines(1, count)[0],
        "offset": sines(count)[::-1].copy(),
    }


wrong = mistakes_of("flow_loop")


ORDER = "for i in range(len(times)):"
NEXT = "times[i + 1] if i + 1 < len(times) else 0 * times[i]"
ASKED = "slope[i] * x + offset[i]"

FLOW_LOOP = Op(
    text.flow_loop,
    costly=("levels",),
    laws=(
        Law("is exact for a constant velocity", constant_velocity),
        Law("with one time it is one step", one_time),
        Law("one step and the rest of the loop are the whole loop", step_and_rest),
        Law("velocities that do not depend on the sample add up", offsets_add_up),
        Law("is homogeneous in noise and velocity", homogeneous),
    ),
    probes=(
        Probe("four times", lambda: quarters(4)),
        Probe("two times", lambda: quarters(2)),
    ),
    mistakes=(
        wrong(
            "last-step-missing",
            "leaves out the last step, to time 0",
            ORDER,
            "for i in range(len(times) - 1):",
            "some noise remains",
            "never",
        ),
        wrong(
            "from-the-data",
            "visits the times in ascending order",
            ORDER,
            "for i in range(len(times) - 1, -1, -1):",
            "the sample moves away from the data",
            "there is one time",
            source="https://github.com/hustvl/LightningDiT/issues/89",
        ),
        wrong(
            "equal-steps",
            "takes steps of equal length instead of those of the list",
            NEXT,
            "times[i] - times[0] / len(times)",
            "steps do not end at the next time",
            "the times lie evenly",
        ),
        wrong(
            "one-step-short",
            "divides the range of times by one step too many",
            NEXT,
            "times[i] - times[0] / (len(times) + 1)",
            "the loop stops before time 0",
            "never",
            source="https://github.com/lucidrains/rectified-flow-pytorch/issues/14",
        ),
        wrong(
            "drift-not-negated",
            "forgets that t_next - t is negative",
            "flow_euler_step(x, velocity, times[i], t_next)",
            "flow_euler_step(x, velocity, t_next, times[i])",
            "the sample moves away from the data",
            "the velocity is 0",
        ),
        wrong(
            "asked-at-the-next-time",
            "gives the network the time after the step instead of before",
            ASKED,
            "slope[min(i + 1, len(times) - 1)] * x + offset[min(i + 1, len(times) - 1)]",
            "the velocity belongs to another time",
            "there is one time",
        ),
        wrong(
            "time-reversed",
            "gives the network 1 - t",
            ASKED,
            "slope[-1 - i] * x + offset[-1 - i]",
            "the velocity belongs to the other end",
            "there is one time",
        ),
    ),
    precisions=FLOATS,
    values={
        "times": lambda source, known: falling(
            known["levels"], 1.0, source.choice([0.0625, 0.1875, 0.3125])
        ),
        **network("levels"),
    },
)

"""What is known about the steps of a flow: laws, probes and mistakes."""

from refimpl.op import Law, Op, Probe
from refimpl.ops.common import cosines, mistakes_of, sines
from refimpl.ops.flow import reference as text


def no_way(f, x, velocity, t, t_next):
    yield f(x, velocity, t, t), x


def there_and_back(f, x, velocity, t, t_next):
    yield f(f(x, velocity, t, t_next), velocity, t_next, t), x


def by_way_of(f, x, velocity, t, t_next):
    middle = (t + t_next) / 2
    yield f(f(x, velocity, t, middle), velocity, middle, t_next), f(x, velocity, t, t_next)


def along_a_line(f, x, velocity, t, t_next):
    yield f(t * velocity, velocity, t, t_next), t_next * velocity


def whole_line(f, x, velocity, t, t_next):
    yield f(x, velocity, 0 * t + 1, 0 * t), x - velocity


wrong = mistakes_of("flow_euler_step")


def waves(t, t_next):
    return {"x": 2 * sines(1, 4), "velocity": 1 + cosines(1, 4), "t": t, "t_next": t_next}


FLOW_EULER_STEP = Op(
    text.flow_euler_step,
    laws=(
        Law("no time, no way", no_way),
        Law("there and back again", there_and_back),
        Law("two steps with one velocity are one step", by_way_of),
        Law("a right velocity is exact", along_a_line),
        Law("all the time takes the whole velocity", whole_line),
    ),
    probes=(
        Probe("from 0.75 to 0.5", lambda: waves(0.75, 0.5)),
        Probe("the last step", lambda: waves(0.125, 0.0)),
        Probe("inverting a picture", lambda: waves(0.25, 0.375)),
    ),
    mistakes=(
        wrong(
            "drift-not-negated",
            "goes along the velocity while time goes back",
            "x + (t_next - t) * velocity",
            "x + (t - t_next) * velocity",
            "sampling goes away from the data",
            "the velocity is 0",
            source="https://github.com/hustvl/LightningDiT/issues/89",
        ),
        wrong(
            "whole-way",
            "goes to the clean sample at once",
            "x + (t_next - t) * velocity",
            "x - t * velocity + 0 * t_next",
            "one step of any number",
            "the next time is 0",
        ),
        wrong(
            "time-for-difference",
            "takes the next time for the step",
            "x + (t_next - t) * velocity",
            "x + t_next * velocity + 0 * t",
            "steps too long, and the wrong way",
            "the next time is 0",
        ),
        wrong(
            "velocity-for-guess",
            "takes the velocity for the guess of the clean sample",
            "x + (t_next - t) * velocity",
            "x + (t_next - t) * (x - velocity) / t if t else x",
            "a network of another convention",
            "the velocity is the slope towards itself",
        ),
        wrong(
            "relative-step",
            "divides the step by the time, as a guess of the sample would need",
            "x + (t_next - t) * velocity",
            "x + (t_next - t) / (t + (t == 0)) * velocity",
            "steps too long near the data",
            "the time is 1",
        ),
    ),
)


def euler_without_noise(f, x, x_start, noise, t, t_next, eta):
    velocity = (x - x_start) / t
    yield f(x, x_start, noise, t, t_next, 0 * eta), text.flow_euler_step(x, velocity, t, t_next)


def last_step(f, x, x_start, noise, t, t_next, eta):
    yield f(x, x_start, noise, t, 0 * t_next, eta), x_start


def signal_kept(f, x, x_start, noise, t, t_next, eta):
    clean = f((1 - t) * x_start, x_start, 0 * noise, t, t_next, eta)
    yield clean, (1 - t_next) * x_start


def variance_kept(f, x, x_start, noise, t, t_next, eta):
    old = f(t * x, 0 * x, 0 * noise, t, t_next, eta)
    fresh = f(0 * x, 0 * x, x, t, t_next, eta)
    yield old * old + fresh * fresh, (t_next * x) ** 2


def noise_is_added(f, x, x_start, noise, t, t_next, eta):
    without = f(x, x_start, 0 * noise, t, t_next, eta)
    fresh = f(0 * x, 0 * x_start, noise, t, t_next, eta)
    yield f(x, x_start, noise, t, t_next, eta), without + fresh


def ancestral(t, t_next, eta):
    samples = {"x": 2 * sines(1, 4), "x_start": cosines(1, 4), "noise": 1 + cosines(1, 4)[:, ::-1]}
    return {**samples, "t": t, "t_next": t_next, "eta": eta}


wrong_ancestral = mistakes_of("flow_ancestral_step")


FACTOR = "(1 - t_next) / (1 - down) * ahead"

FLOW_ANCESTRAL_STEP = Op(
    text.flow_ancestral_step,
    laws=(
        Law("with eta 0 it is Euler's step", euler_without_noise),
        Law("a step to time 0 is the guess", last_step),
        Law("a right guess keeps the signal on its line", signal_kept),
        Law("old and fresh noise make the variance of the next time", variance_kept),
        Law("fresh noise is added", noise_is_added),
    ),
    probes=(
        Probe("from 0.8 to 0.4, all noise", lambda: ancestral(0.8, 0.4, 1.0)),
        Probe("half of it", lambda: ancestral(0.75, 0.5, 0.5)),
        Probe("the last step", lambda: ancestral(0.125, 0.0, 1.0)),
        Probe("from noise alone", lambda: ancestral(1.0, 0.75, 1.0)),
    ),
    mistakes=(
        wrong_ancestral(
            "signal-not-scaled",
            "adds noise of the variance that was lost, and leaves the signal too strong",
            FACTOR,
            "0 * down + ahead",
            "pictures too bright, with too little noise",
            "eta or the next time is 0",
            source="https://github.com/leejet/stable-diffusion.cpp/pull/1436",
        ),
        wrong_ancestral(
            "noise-of-growing-variance",
            "adds the noise of samplers whose variance grows",
            "fresh * noise",
            "np.sqrt(drop * (t_next + down)) * noise + 0 * fresh",
            "more noise than the time has",
            "eta or the next time is 0",
            source="https://github.com/dgrauet/ltx-2-mlx/pull/103",
        ),
        wrong_ancestral(
            "all-the-way-down",
            "goes to the next time and adds noise on top",
            "kept = down / t",
            "kept = t_next / t",
            "more noise than the next time has",
            "eta or the next time is 0",
        ),
        wrong_ancestral(
            "fresh-not-rooted",
            "scales fresh noise by its variance",
            "fresh * noise",
            "fresh * fresh * noise",
            "too little fresh noise",
            "eta or the next time is 0",
        ),
        wrong_ancestral(
            "guess-forgotten",
            "scales the sample down in the place of moving it to the guess",
            "kept * x + (1 - kept) * x_start",
            "kept * x + 0 * x_start",
            "the picture fades",
            "the guess is 0",
        ),
        wrong_ancestral(
            "eta-ignored",
            "adds all the noise whatever eta is",
            "drop = eta * t_next",
            "drop = (1 + 0 * eta) * t_next",
            "noise where none was asked for",
            "eta is 1",
        ),
    ),
    values={
        "t": lambda source, known: source.choice([0.75, 1.0, 0.5, 0.9375]),
        "t_next": lambda source, known: source.choice([0.25, 0.0, 0.375, 0.4375]),
    },
)

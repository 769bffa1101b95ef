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
        Law("a step of length 0 changes nothing", no_way),
        Law("the step back undoes it", there_and_back),
        Law("two steps with one velocity are one step", by_way_of),
        Law("is exact on a straight line", along_a_line),
        Law("from 1 to 0 it subtracts the whole velocity", whole_line),
    ),
    probes=(
        Probe("from 0.75 to 0.5", lambda: waves(0.75, 0.5)),
        Probe("the last step", lambda: waves(0.125, 0.0)),
        Probe("a step towards the noise", lambda: waves(0.25, 0.375)),
    ),
    mistakes=(
        wrong(
            "drift-not-negated",
            "forgets that t_next - t is negative",
            "x + (t_next - t) * velocity",
            "x + (t - t_next) * velocity",
            "sampling moves away from the data",
            "the velocity is 0",
            source="https://github.com/hustvl/LightningDiT/issues/89",
        ),
        wrong(
            "whole-way",
            "steps to time 0 at once",
            "x + (t_next - t) * velocity",
            "x - t * velocity + 0 * t_next",
            "every step ends at the clean sample",
            "the next time is 0",
        ),
        wrong(
            "time-for-difference",
            "uses t_next instead of t_next - t",
            "x + (t_next - t) * velocity",
            "x + t_next * velocity + 0 * t",
            "steps are too long, and in the wrong direction",
            "the next time is 0",
        ),
        wrong(
            "velocity-for-guess",
            "treats the velocity as the predicted clean sample",
            "x + (t_next - t) * velocity",
            "x + (t_next - t) * (x - velocity) / t if t else x",
            "a target of another convention",
            "the velocity is the slope towards itself",
        ),
        wrong(
            "relative-step",
            "divides the step by t",
            "x + (t_next - t) * velocity",
            "x + (t_next - t) / (t + (t == 0)) * velocity",
            "steps are too long near the data",
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
        Law("with the right guess the signal is (1 - t_next) x_start", signal_kept),
        Law("old and fresh noise have the variance t_next²", variance_kept),
        Law("is linear in the fresh noise", noise_is_added),
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
            "adds fresh noise without rescaling the signal",
            FACTOR,
            "0 * down + ahead",
            "images are too bright, with too little noise",
            "eta or the next time is 0",
            source="https://github.com/leejet/stable-diffusion.cpp/pull/1436",
        ),
        wrong_ancestral(
            "noise-of-growing-variance",
            "uses the fresh noise of variance-exploding samplers",
            "fresh * noise",
            "np.sqrt(drop * (t_next + down)) * noise + 0 * fresh",
            "more noise than t_next has",
            "eta or the next time is 0",
            source="https://github.com/dgrauet/ltx-2-mlx/pull/103",
        ),
        wrong_ancestral(
            "all-the-way-down",
            "steps to t_next and then adds noise on top",
            "kept = down / t",
            "kept = t_next / t",
            "more noise than the next time has",
            "eta or the next time is 0",
        ),
        wrong_ancestral(
            "fresh-not-rooted",
            "multiplies the fresh noise by its variance instead of the deviation",
            "fresh * noise",
            "fresh * fresh * noise",
            "there is too little fresh noise",
            "eta or the next time is 0",
        ),
        wrong_ancestral(
            "guess-forgotten",
            "scales the sample instead of moving it to the guess",
            "kept * x + (1 - kept) * x_start",
            "kept * x + 0 * x_start",
            "the image fades",
            "the guess is 0",
        ),
        wrong_ancestral(
            "eta-ignored",
            "ignores eta",
            "drop = eta * t_next",
            "drop = (1 + 0 * eta) * t_next",
            "noise is added even for eta 0",
            "eta is 1",
        ),
    ),
    values={
        "t": lambda source, known: source.choice([0.75, 1.0, 0.5, 0.9375]),
        "t_next": lambda source, known: source.choice([0.25, 0.0, 0.375, 0.4375]),
    },
)

"""What is known about drawn and scaled latents: laws, probes and mistakes."""

from refimpl.op import Law, Op, Probe
from refimpl.ops.autoencoder import reference as text
from refimpl.ops.common import by_name, cosines, mistakes_of, sines


def no_noise(f, mean, log_variance, noise):
    yield f(mean, log_variance, 0 * noise), mean


def both_signs(f, mean, log_variance, noise):
    there, back = f(mean, log_variance, noise), f(mean, log_variance, -noise)
    yield there + back, 2 * mean


def moved(f, mean, log_variance, noise):
    yield f(mean + 3, log_variance, noise), f(mean, log_variance, noise) + 3


def variance_one(f, mean, log_variance, noise):
    yield f(mean, 0 * log_variance, noise), mean + noise


wrong = mistakes_of("posterior_sample")
WHOLE = "mean + np.exp(log_variance / 2) * noise"

POSTERIOR_SAMPLE = Op(
    text.posterior_sample,
    laws=(
        Law("without noise it is the mean", no_noise),
        Law("noise and its negative give values symmetric about the mean", both_signs),
        Law("adding 3 to the mean adds 3 to the result", moved),
        Law("at unit variance it is mean plus noise", variance_one),
    ),
    probes=(
        Probe(
            "six numbers",
            lambda: {
                "mean": sines(2, 3),
                "log_variance": 4 * cosines(2, 3),
                "noise": 3 - sines(2, 3),
            },
        ),
    ),
    mistakes=(
        wrong(
            "variance-for-deviation",
            "multiplies the noise by the variance instead of the deviation",
            WHOLE,
            "mean + np.exp(log_variance) * noise",
            "latents are too noisy, or have hardly any noise",
            "the variance is 1",
        ),
        wrong(
            "logarithm-of-deviation",
            "multiplies the noise by the log variance",
            WHOLE,
            "mean + log_variance / 2 * noise",
            "the noise has the wrong size and sign",
            "never",
        ),
        wrong(
            "mode",
            "returns the mean without noise",
            WHOLE,
            "mean + 0 * log_variance * noise",
            "the noise has no effect",
            "there is no noise",
        ),
        wrong(
            "mean-scaled",
            "multiplies the mean by the deviation, too",
            WHOLE,
            "np.exp(log_variance / 2) * (mean + noise)",
            "latents are stretched",
            "the variance is 1",
        ),
        wrong(
            "noise-alone",
            "forgets the mean",
            WHOLE,
            "0 * mean + np.exp(log_variance / 2) * noise",
            "every picture is the same",
            "the mean is 0",
        ),
    ),
)


def there_and_back(other):
    @by_name
    def law(f, x, shift, scale):
        yield other(f(x, shift, scale), shift, scale), x

    return Law("the inverse operation undoes it", law)


@by_name
def differences(f, x, shift, scale):
    yield f(x, shift, scale) - f(x[..., ::-1], shift, scale), f(x - x[..., ::-1], 0 * shift, scale)


@by_name
def nothing_to_do(f, x, shift, scale):
    yield f(x, 0 * shift, 0 * scale + 1), x


@by_name
def each_by_itself(f, x, shift, scale):
    yield f(x[..., ::-1], shift, scale), f(x, shift, scale)[..., ::-1]


def mean_is_lost(f, z, shift, scale):
    yield f(0 * z + shift, shift, scale), 0 * z


def zero_is_the_mean(f, y, shift, scale):
    yield f(0 * y, shift, scale), 0 * y + shift


SHIFTS = {"shift": lambda source, known: source.choice([0.0609, 0.1159, 0.0, -0.5])}
SCALES = {"scale": lambda source, known: source.choice([0.18215, 0.13025, 1.5305, 0.3611])}
COMMON = (
    Law("differences do not depend on the shift", differences),
    Law("a shift of zero and a scale of one change nothing", nothing_to_do),
    Law("each entry is treated by itself", each_by_itself),
)
OTHER_VAE = "https://github.com/huggingface/diffusers/issues/6923"


def record(function, inverse, name, lost, whole, forms):
    """The record of one direction; `forms` are how it is written wrongly."""
    wrong = mistakes_of(function.__name__)
    without, order, divided, away = forms
    return Op(
        function,
        values={**SHIFTS, **SCALES},
        laws=(there_and_back(inverse), *COMMON, lost),
        probes=(
            Probe("SD3's", lambda: {name: 2 + sines(2, 3), "shift": 0.0609, "scale": 1.5305}),
            Probe("Flux's", lambda: {name: 2 + cosines(2, 3), "shift": 0.1159, "scale": 0.3611}),
        ),
        mistakes=(
            wrong(
                "shift-missing",
                "leaves the shift out",
                whole,
                without,
                "latents are biased",
                "the shift is 0",
                source="https://github.com/huggingface/diffusers/issues/8887",
            ),
            wrong(
                "other-order",
                "shifts and scales in the other order",
                whole,
                order,
                "the shift has the wrong size",
                "the shift is 0, or the scale 1",
            ),
            wrong(
                "other-direction",
                "scales in the other direction",
                whole,
                divided,
                "latents are far too large or too small",
                "the scale is 1",
            ),
            wrong(
                "wrong-sign",
                "shifts in the other direction",
                whole,
                away,
                "the bias is doubled",
                "the shift is 0",
            ),
            wrong(
                "of-other-vae",
                "takes the scale of another autoencoder",
                whole,
                whole.replace("scale", "(0 * scale + 0.25)"),
                "pictures look washed out",
                "the scale is 0.25",
                source=OTHER_VAE,
            ),
        ),
    )


SCALE_LATENTS = record(
    text.scale_latents,
    text.unscale_latents,
    "z",
    Law("a latent equal to the shift becomes zero", mean_is_lost),
    "(z - shift) * scale",
    ("z * scale", "z * scale - shift", "(z - shift) / scale", "(z + shift) * scale"),
)
UNSCALE_LATENTS = record(
    text.unscale_latents,
    text.scale_latents,
    "y",
    Law("zero becomes the shift", zero_is_the_mean),
    "y / scale + shift",
    ("y / scale", "(y + shift) / scale", "y * scale + shift", "y / scale - shift"),
)

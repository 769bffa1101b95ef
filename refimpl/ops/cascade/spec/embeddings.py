"""What is known about vectors of images before they are noised: laws, probes, mistakes."""

import numpy as np

from refimpl.gradients import LINEAR_IN_GRAD
from refimpl.op import Law, Op, Probe
from refimpl.ops.cascade import reference as text
from refimpl.ops.common import cosines, mistakes_of, sines, with_more
from refimpl.ops.patch_embedding.reference import timestep_embedding

MEAN, STD = np.array([0.125, -0.25, 0.5, 0.0]), np.array([0.5, 1.0, 2.0, 0.25])


def back(f, embedding, mean, std):
    yield f(embedding, mean, std) * std + mean, embedding


def of_the_mean(f, embedding, mean, std):
    yield f(0 * embedding + mean, mean, std), 0 * embedding


def one_deviation_off(f, embedding, mean, std):
    yield f(0 * embedding + mean + std, mean, std), 0 * embedding + 1


def another_unit(f, embedding, mean, std):
    yield f(4 * embedding, 4 * mean, 4 * std), f(embedding, mean, std)


wrong = mistakes_of("standardize_embedding")
FORM = "(embedding - mean) / std"
STATISTICS = Probe("two vectors", lambda: {"embedding": sines(2, 4), "mean": MEAN, "std": STD})

STANDARDIZE_EMBEDDING = Op(
    text.standardize_embedding,
    laws=(
        Law("deviation and mean lead back", back),
        Law("the mean becomes 0", of_the_mean),
        Law("a deviation becomes 1", one_deviation_off),
        Law("does not know the unit", another_unit),
    ),
    probes=(STATISTICS,),
    mistakes=(
        wrong("mean-kept", "keeps the mean", FORM, "embedding / std", "shifted", "the mean is 0"),
        wrong(
            "variance-for-deviation",
            "takes variances for deviations",
            FORM,
            "(embedding - mean) / np.sqrt(std)",
            "another scale for each number",
            "deviations are 1",
        ),
        wrong(
            "multiplied",
            "multiplies by the deviation",
            FORM,
            "(embedding - mean) * std",
            "large numbers grow",
            "deviations are 1",
        ),
        wrong(
            "divided-first",
            "divides before it subtracts",
            FORM,
            "embedding / std - mean",
            "shifted",
            "the mean is 0, or deviations are 1",
        ),
        wrong(
            "one-deviation",
            "divides by the mean of all deviations",
            FORM,
            "(embedding - mean) / np.mean(std)",
            "numbers keep their deviations",
            "deviations are alike",
        ),
        wrong(
            "statistics-of-the-batch",
            "subtracts the mean of the batch",
            FORM,
            "(embedding - np.mean(embedding, axis=0)) / std",
            "a picture depends on its neighbours",
            "the batch has the mean",
        ),
    ),
)


def opposite(f, embedding, mean, std, grad):
    x_grad, mean_grad, _ = f(embedding, mean, std, grad)
    yield mean_grad, -np.sum(x_grad, axis=0)


def at_the_mean(f, embedding, mean, std, grad):
    yield f(0 * embedding + mean, mean, std, grad)[2], 0 * mean


def at_a_deviation(f, embedding, mean, std, grad):
    _, mean_grad, std_grad = f(0 * embedding + mean + std, mean, std, grad)
    yield std_grad, mean_grad


def unit_deviations(f, embedding, mean, std, grad):
    yield f(embedding, mean, 0 * std + 1, grad)[0], grad


wrong_vjp = mistakes_of("standardize_embedding_vjp")


STANDARDIZE_EMBEDDING_VJP = Op(
    text.standardize_embedding_vjp,
    outputs=("embedding_grad", "mean_grad", "std_grad"),
    laws=(
        Law("what pulls a vector pushes the mean", opposite),
        Law("at the mean the deviation does not matter", at_the_mean),
        Law("a deviation off it pulls as the mean does", at_a_deviation),
        Law("unit deviations pass it on", unit_deviations),
        LINEAR_IN_GRAD,
    ),
    probes=(with_more(STATISTICS, lambda inputs: inputs | {"grad": cosines(2, 4)}),),
    mistakes=(
        wrong_vjp(
            "mean-sign",
            "pulls the mean along",
            "return embedding_grad, -np.sum(",
            "return embedding_grad, np.sum(",
            "statistics run away",
            "nothing arrives",
        ),
        wrong_vjp(
            "mean-of-the-batch",
            "averages over the batch",
            "return embedding_grad, -np.sum(",
            "return embedding_grad, -np.mean(",
            "too small by the batch",
            "there is one vector",
        ),
        wrong_vjp(
            "not-divided",
            "passes the gradient on undivided",
            "embedding_grad = grad / std",
            "embedding_grad = grad",
            "another step for each number",
            "deviations are 1",
        ),
        wrong_vjp(
            "deviation-sign",
            "pulls the deviation the wrong way",
            "std_grad = -np.sum",
            "std_grad = np.sum",
            "deviations run away",
            "vectors are at the mean",
        ),
        wrong_vjp(
            "deviation-of-the-vector",
            "forgets the mean in the gradient of the deviation",
            "standard = (embedding - mean) / std",
            "standard = embedding / std",
            "deviations drift",
            "the mean is 0",
        ),
    ),
)


def clean(f, embedding, mean, std, level, noise, alpha_bar):
    found = f(embedding, mean, std, level, noise, 0 * alpha_bar + 1)
    yield found[:, : embedding.shape[1]], embedding


def noise_alone(f, embedding, mean, std, level, noise, alpha_bar):
    found = f(embedding, mean, std, level, noise, 0 * alpha_bar)
    yield found[:, : embedding.shape[1]], mean + std * noise


def told(f, embedding, mean, std, level, noise, alpha_bar):
    width = embedding.shape[1]
    found = f(embedding, mean, std, level, noise, alpha_bar)
    yield found[:, width:], timestep_embedding(level + 0 * noise[:, 0], width // 2)


def of_the_mean_vector(f, embedding, mean, std, level, noise, alpha_bar):
    found = f(0 * embedding + mean, mean, std, level, 0 * noise, alpha_bar)
    yield found[:, : embedding.shape[1]], 0 * embedding + mean


wrong_augment = mistakes_of("augment_embedding")
BACK = "* std + mean"

AUGMENT_EMBEDDING = Op(
    text.augment_embedding,
    laws=(
        Law("without noise the vector stays", clean),
        Law("without signal it is noise with the statistics of vectors", noise_alone),
        Law("the level is told", told),
        Law("the mean stays", of_the_mean_vector),
    ),
    probes=(
        Probe(
            "two levels",
            lambda: {
                "embedding": sines(2, 4),
                "mean": MEAN,
                "std": STD,
                "level": np.array([0, 2]),
                "noise": cosines(2, 4),
                "alpha_bar": np.array([0.9375, 0.5, 0.25]),
            },
        ),
    ),
    mistakes=(
        wrong_augment(
            "not-standardised",
            "noises the vectors as they are",
            "standard = standardize_embedding(embedding, mean, std)",
            "standard = embedding",
            "noise drowns small numbers",
            "statistics are standard",
        ),
        wrong_augment(
            "stays-standard",
            "does not lead back",
            f" {BACK}",
            "",
            "the decoder sees vectors of another scale",
            "statistics are standard",
        ),
        wrong_augment(
            "mean-forgotten",
            "forgets the mean on the way back",
            BACK,
            "* std",
            "shifted",
            "the mean is 0",
        ),
        wrong_augment(
            "level-first",
            "puts the level before the vector",
            "(noised, told)",
            "(told, noised)",
            "weights meet the other half",
            "never",
        ),
        wrong_augment(
            "level-not-told",
            "tells level 0 whatever was added",
            "constant(1, embedding) * level",
            "0 * constant(1, embedding) * level",
            "clean and noised vectors look alike",
            "the level is 0",
            source="https://github.com/lucidrains/imagen-pytorch/issues/44",
        ),
        wrong_augment(
            "level-after",
            "noises to the level after it",
            "q_sample(standard, level, noise, alpha_bar)",
            "q_sample(standard, np.minimum(level + 1, len(alpha_bar) - 1), noise, alpha_bar)",
            "more noise than told",
            "the level is the last",
        ),
    ),
    dialects=(
        wrong_augment(
            "sines-first",
            "tells the level by sines, then cosines",
            "np.concatenate((noised, told), axis=1)",
            "np.concatenate((noised, told[:, half:], told[:, :half]), axis=1)",
            "equal after a permutation of the weights",
            "never",
        ),
    ),
    precisions=("float64", "float32"),
)

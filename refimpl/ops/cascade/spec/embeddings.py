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
        Law("multiplying by the deviation and adding the mean undoes it", back),
        Law("the mean becomes 0", of_the_mean),
        Law("one deviation above the mean becomes 1", one_deviation_off),
        Law("the unit does not matter", another_unit),
    ),
    probes=(STATISTICS,),
    mistakes=(
        wrong(
            "mean-kept",
            "does not subtract the mean",
            FORM,
            "embedding / std",
            "the result is shifted",
            "the mean is 0",
        ),
        wrong(
            "variance-for-deviation",
            "uses variances instead of deviations",
            FORM,
            "(embedding - mean) / (std * std)",
            "each component has a wrong scale",
            "deviations are 1",
        ),
        wrong(
            "multiplied",
            "multiplies by the deviation",
            FORM,
            "(embedding - mean) * std",
            "large components grow",
            "deviations are 1",
        ),
        wrong(
            "divided-first",
            "divides before subtracting the mean",
            FORM,
            "embedding / std - mean",
            "the result is shifted",
            "the mean is 0, or deviations are 1",
        ),
        wrong(
            "one-deviation",
            "divides by the mean of all deviations instead of each component's own",
            FORM,
            "(embedding - mean) / np.mean(std)",
            "components keep their different deviations",
            "deviations are alike",
        ),
        wrong(
            "statistics-of-the-batch",
            "subtracts the mean of the batch",
            FORM,
            "(embedding - np.mean(embedding, axis=0)) / std",
            "an embedding depends on the rest of the batch",
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
        Law("the gradient of the mean is minus the sum of the embeddings' gradients", opposite),
        Law("at the mean the gradient of the deviation is zero", at_the_mean),
        Law("one deviation above the mean, both statistics have the same gradient", at_a_deviation),
        Law("unit deviations pass grad through", unit_deviations),
        LINEAR_IN_GRAD,
    ),
    probes=(with_more(STATISTICS, lambda inputs: inputs | {"grad": cosines(2, 4)}),),
    mistakes=(
        wrong_vjp(
            "mean-sign",
            "changes the sign of the mean's gradient",
            "return embedding_grad, -np.sum(",
            "return embedding_grad, np.sum(",
            "the statistics move in the wrong direction",
            "grad is 0",
        ),
        wrong_vjp(
            "mean-of-the-batch",
            "averages over the batch",
            "return embedding_grad, -np.sum(",
            "return embedding_grad, -np.mean(",
            "too small by the batch size",
            "there is one vector",
        ),
        wrong_vjp(
            "not-divided",
            "does not divide grad by the deviation",
            "embedding_grad = grad / std",
            "embedding_grad = grad",
            "each component has a wrong step size",
            "deviations are 1",
        ),
        wrong_vjp(
            "deviation-sign",
            "changes the sign of the deviation's gradient",
            "std_grad = -np.sum",
            "std_grad = np.sum",
            "the deviations move in the wrong direction",
            "vectors are at the mean",
        ),
        wrong_vjp(
            "deviation-of-the-vector",
            "does not subtract the mean in the gradient of the deviation",
            "standard = (embedding - mean) / std",
            "standard = embedding / std",
            "the gradient of the deviation is off by a multiple of the mean",
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
        Law("at ᾱ = 0 it is noise with mean and deviation of the embeddings", noise_alone),
        Law("the second half is the embedding of the level", told),
        Law("the mean of the embeddings stays without noise", of_the_mean_vector),
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
            "adds noise without standardising first",
            "standard = standardize_embedding(embedding, mean, std)",
            "standard = embedding",
            "noise dominates small components",
            "statistics are standard",
        ),
        wrong_augment(
            "stays-standard",
            "does not undo the standardisation",
            f" {BACK}",
            "",
            "the decoder gets embeddings of another scale",
            "statistics are standard",
        ),
        wrong_augment(
            "mean-forgotten",
            "does not add the mean back",
            BACK,
            "* std",
            "the result is shifted",
            "the mean is 0",
        ),
        wrong_augment(
            "level-first",
            "puts the level's embedding before the vector",
            "(noised, told)",
            "(told, noised)",
            "weights multiply the other half",
            "never",
        ),
        wrong_augment(
            "level-not-told",
            "embeds level 0 whatever the noise",
            "constant(1, embedding) * level",
            "0 * constant(1, embedding) * level",
            "the decoder cannot tell clean from noised embeddings",
            "the level is 0",
            source="https://github.com/lucidrains/imagen-pytorch/issues/44",
        ),
        wrong_augment(
            "level-after",
            "adds the noise of level + 1",
            "q_sample(standard, level, noise, alpha_bar)",
            "q_sample(standard, np.minimum(level + 1, len(alpha_bar) - 1), noise, alpha_bar)",
            "more noise than the level says",
            "the level is the last",
        ),
    ),
    dialects=(
        wrong_augment(
            "sines-first",
            "embeds the level with sines before cosines",
            "np.concatenate((noised, told), axis=1)",
            "np.concatenate((noised, told[:, half:], told[:, :half]), axis=1)",
            "equal after a permutation of the weights",
            "never",
        ),
    ),
    precisions=("float64", "float32"),
)


def clean_gradients(f, embedding, mean, std, level, noise, alpha_bar, grad):
    found = f(embedding, mean, std, level, noise, 0 * alpha_bar + 1, grad)
    yield found[0], grad[:, : noise.shape[1]]
    for nothing in found[1:]:
        yield nothing, 0 * nothing


def noise_alone_gradients(f, embedding, mean, std, level, noise, alpha_bar, grad):
    embedding_grad, mean_grad, _, _ = f(embedding, mean, std, level, noise, 0 * alpha_bar, grad)
    yield embedding_grad, 0 * embedding_grad
    yield mean_grad, np.sum(grad[:, : noise.shape[1]], axis=0)


def told_part_is_dropped(f, embedding, mean, std, level, noise, alpha_bar, grad):
    width = noise.shape[1]
    half = np.concatenate((grad[:, :width], 0 * grad[:, width:]), axis=1)
    without, found = (
        f(embedding, mean, std, level, noise, alpha_bar, half),
        f(embedding, mean, std, level, noise, alpha_bar, grad),
    )
    yield from zip(without, found, strict=True)


def noise_by_deviation(f, embedding, mean, std, level, noise, alpha_bar, grad):
    _, _, std_grad, noise_grad = f(embedding, mean, std, level, noise, alpha_bar, grad)
    yield std * std_grad, np.sum(noise * noise_grad, axis=0)


wrong_back = mistakes_of("augment_embedding_vjp")

AUGMENT_EMBEDDING_VJP = Op(
    text.augment_embedding_vjp,
    outputs=("embedding_grad", "mean_grad", "std_grad", "noise_grad"),
    laws=(
        Law("without noise the vector gets all, and nothing else gets any", clean_gradients),
        Law("at ᾱ = 0 the mean gets all, and the vector nothing", noise_alone_gradients),
        Law("grad of the level's embedding does not matter", told_part_is_dropped),
        Law("noise and deviation have the same product with their gradients", noise_by_deviation),
        LINEAR_IN_GRAD,
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
                "grad": 2 + sines(2, 8),
            },
        ),
    ),
    mistakes=(
        wrong_back(
            "mean-of-the-result",
            "forgets that the mean is subtracted before it is added",
            "np.sum(given, axis=0) + mean_part",
            "np.sum(given, axis=0)",
            "the gradient of the mean is too large",
            "ᾱ is 0",
        ),
        wrong_back(
            "mean-of-the-batch",
            "averages the gradient of the mean over the batch",
            "np.sum(given, axis=0) + mean_part",
            "(np.sum(given, axis=0) + mean_part) / len(grad)",
            "too small by the batch size",
            "there is one vector",
        ),
        wrong_back(
            "not-through-the-deviation",
            "forgets that the result is multiplied by the deviation",
            "given * std)",
            "given)",
            "each component has a wrong step size",
            "deviations are 1",
        ),
        wrong_back(
            "deviation-of-the-result",
            "forgets that the vector is divided by the deviation",
            "np.sum(given * noised, axis=0) + std_part",
            "np.sum(given * noised, axis=0)",
            "the deviations learn from the vector itself",
            "vectors are at the mean",
        ),
        wrong_back(
            "deviation-of-the-clean",
            "multiplies by the vector before it was noised",
            "np.sum(given * noised, axis=0)",
            "np.sum(given * standard, axis=0)",
            "the deviations do not learn from the noise",
            "ᾱ is 1",
        ),
        wrong_back(
            "half-of-the-level",
            "reads grad of the level's embedding for that of the vector",
            "grad[:, : noise.shape[1]]",
            "grad[:, noise.shape[1] :]",
            "the vector gets the gradient of another",
            "both halves of grad are equal",
        ),
    ),
    precisions=("float64", "float32"),
)

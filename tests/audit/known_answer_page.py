"""The words around the tables of sampling with a known answer."""

PAGE = """# Sampling with a known answer

Made by `make known-answer`. The data are Gaussian mixtures. For these the best network and the
best classifier are formulas (`refimpl.models.gaussian_mixture`). So one can say beforehand what
each sampler (`refimpl.models.sampling`) must make of standard normal noise. The chain is the
linear schedule.

## Gaussians: exact

The data here are a single Gaussian. Each step of a sampler then multiplies the sample by a matrix
and adds a vector and noise: it is an affine map. This audit reads the map off the sampler, by
feeding it the basis vectors and unit noises. The maps give the mean and the covariance after
every step. Both are compared with a second computation that shares no code with the first and
works with the score.

Guidance keeps the step affine if the labelled data are a single Gaussian too. Its gradient, that
of log p(y | x_t), is then the difference of two scores. There are two columns:

- "exponential tilt": the two covariances are equal. Then log p(y | x) is linear in x, and its
  gradient is the same everywhere.
- "other covariance": they differ, and the gradient depends on x.

A mixture of two Gaussians would not do: its gradient is a logistic function of x, and the step is
no longer affine. Scale 1 is an exception, as the guided score is then that of the labelled
Gaussian.

`error` is the largest error of all steps, divided by what rounding can cause. More than 1 is
wrong. Rounding may cause 64 · steps · 2⁻⁵³ · size² / √ᾱ: `size` is the largest mean plus standard
deviation, at least 1, and ᾱ is the last share of signal.

`from the target` is how far the last mean or covariance is from that of p(x) p(y | x)^s. It has
two causes: few steps, and the bias of guidance.

| sampler | guidance | error, exponential tilt | from the target | error, other covariance \
| from the target |
|---|---|---:|---:|---:|---:|
{exact}

## Many steps: what is left

The same distance from the target, for longer and longer chains that lose the same signal. They
begin in the exact law at the last time. `order` compares the last two lengths: at 1, twice the
steps halve the distance; at 2 they quarter it. Where the order falls to 0 and a distance stays,
more steps do not help: guidance itself is biased. The reason is that guiding the noised p(x) is
not the same as noising p(x) p(y | x)^s. They agree where s is 0 or 1, and where the data are
Gaussian and log p(y | x) is linear.

| sampler | guidance | data | {lengths} steps | order |
|---|---|---|---|---:|
{orders}

## A mixture: statistical

The data are three Gaussians on a line in the plane, and the label is the last of them. The line
is turned, so that it is no axis. Along the line the samples are not Gaussian: their law is
carried through every step by numerical integration. Across it they stay Gaussian. Each row has
{samples} samples; the first row has the seed {seed}, the next one more, and so on.

Errors are counted in standard errors, which the exact law gives as well. There are six: of the
mean, the variance and the share of the label along the line; of the mean and the variance across
it; and of the covariance of both directions. A dash stands for a share so near to 1 that its
error is not normal (samples times variance below {rare}). If every sampler is right, all
{entries} entries stay below {limit:.2f} with a probability of {sure:.1%} or more (Bonferroni).
The largest is {largest:.2f}.

`exact` is the law of the sampler, and `target` is that of p(x) p(y | x)^s. Their difference is
the price of few steps. For scales other than 0 and 1 it also holds the bias of guidance, which
does not go away.

| sampler | guidance | errors in standard errors | share of the label: exact | target \
| mean: exact | target |
|---|---|---|---:|---:|---:|---:|
{statistical}
"""

"""The words around the tables of sampling with a known answer."""

PAGE = """# Sampling with a known answer

Made by `make known-answer`. The network and the classifier are those of Gaussian mixtures, in
closed form (`refimpl.models.gaussian_mixture`), so it is known what each sampler
(`refimpl.models.sampling`) must make of standard normal noise. The chain is the linear schedule.

## Gaussians: exact

With Gaussian data every step is an affine map of the sample and the noise. The maps are read off
the sampler by feeding it the basis vectors and unit noises; mean and covariance follow after every
step, and are compared with a recursion that is written separately in terms of the score. Guidance
is affine in x where the data and the labelled data are single Gaussians: the gradient of
log p(y | x_t) is the difference of their scores. It does not depend on x where their covariances
agree, that is, where log p(y | x) is linear ("exponential tilt"). In a mixture of two
Gaussians of one covariance the gradient of log p(y | x) is a logistic function of x, which is not
affine. At scale 1 the guided score is that of the labelled component, and so affine again.

`error` is the largest error of all steps, divided by what rounding can cause; above 1 is wrong.
Rounding is counted as 64 roundings a step. The numbers rounded are at most the largest mean and
standard deviation, divided by the root of the last share of signal. `from the target` is how far
the last mean or covariance is from that of p(x) p(y | x)^s: the error
of a sampler with so few steps, and the bias of guidance.

| sampler | guidance | error, exponential tilt | from the target | error, other covariance \
| from the target |
|---|---|---:|---:|---:|---:|
{exact}

## Many steps: what is left

The same distance from the target for chains of growing length that lose the same signal, begun in
the exact law at the last time. The order is that of the last doubling; 1 means that twice the
steps halve the error. Where the order falls to 0 while a distance stays, guidance itself is biased:
noising p(x) p(y | x)^s and guiding the noised p(x) are different things, unless s is 0 or 1, or
the data are Gaussian and log p(y | x) is linear.

| sampler | guidance | data | {lengths} steps | order |
|---|---|---|---|---:|
{orders}

## A mixture: statistical

Three components on a line in the plane, turned so that no axis is the line; the label is the last
of them. Along the line the law of the samples is not Gaussian: it is carried through every step by
quadrature; across it, it stays Gaussian. {samples} samples a row; the seed of the first row is
{seed}, that of the next one more, and so on. Errors are in standard errors, which the exact law
gives as well: mean, variance and share of the label along the line, mean and variance across it,
covariance; a dash stands for a share so near 1 that its error is not normal (samples times
variance below {rare}). All {entries} entries stay below {limit:.2f} with probability {sure:.1%} at
least if every sampler is right (Bonferroni); the largest is {largest:.2f}.

`exact` is the law of the sampler, `target` that of p(x) p(y | x)^s: their difference is the price
of few steps, and for scales other than 0 and 1 the bias of guidance, which does not go away.

| sampler | guidance | errors in standard errors | share of the label: exact | target \
| mean: exact | target |
|---|---|---|---:|---:|---:|---:|
{statistical}
"""

"""Preferences: rewards from ranked answers, and how a model is moved towards them."""

import numpy as np

from refimpl.axes import Array, Deviation, Epsilon, Fixed, Float, Fraction, Mask
from refimpl.ops.layers.reference import sigmoid


def preference_loss(
    chosen: Float[Array, "N"],
    rejected: Float[Array, "N"],
) -> Float[Array, ""]:
    r"""The loss of a reward model: the negative log probability of the preferred order.

    $$L = \frac1N \sum_n \log\left(1 + e^{-(c_n - r_n)}\right)$$

    chosen: N, the reward of the answer that was preferred.
    rejected: N, the reward of the other one.

    Returns a scalar, in nats of a pair, at least 0; log 2 where the rewards are equal.

    Raises AxesError for other numbers of answers; DomainError for none.

    Elsewhere: InstructGPT averages over the pairs of a question first. Llama 2 subtracts a margin
    from the difference. The logarithm of a rounded sigmoid is -inf below -100.

    Paper: Bradley and Terry 1952, "Rank analysis of incomplete block designs"; as a loss in
    Ouyang et al. 2022, "Training language models to follow instructions with human feedback",
    equation 1.

    >>> float(preference_loss(np.array([1.2]), np.array([-0.3])).round(6))
    0.201413
    """
    margin = chosen - rejected  # N
    return np.mean(np.maximum(-margin, 0) + np.log1p(np.exp(-np.abs(margin))))


def preference_loss_vjp(
    chosen: Float[Array, "N"],
    rejected: Float[Array, "N"],
    grad: Float[Array, ""],
) -> tuple[Float[Array, "N"], Float[Array, "N"]]:
    r"""The gradients of the reward model's loss: the probability of the wrong order.

    $$\bar c_n = -\frac{\bar L}{N}\, \sigma(-(c_n - r_n)), \qquad \bar r_n = -\bar c_n$$

    chosen: N, the reward of the answer that was preferred.
    rejected: N, the reward of the other one.
    grad: a scalar, the gradient with respect to the loss, 1 for the loss itself.

    Returns the gradients of chosen and rejected, each N.

    Raises AxesError for other numbers of answers; DomainError for none.

    Elsewhere: autodiff of the logarithm of a sigmoid gives NaN for large differences.

    Paper: Ouyang et al. 2022, "Training language models to follow instructions with human
    feedback", equation 1, differentiated.

    >>> preference_loss_vjp(np.array([1.0]), np.array([1.0]), np.array(1.0))
    (array([-0.5]), array([0.5]))
    """
    chosen_grad = -grad / len(chosen) * sigmoid(rejected - chosen)  # N
    return chosen_grad, -chosen_grad


def kl_positive(
    log_probs: Float[Array, "B N"],
    reference: Fixed[Array, "B N"],
) -> Float[Array, "B N"]:
    r"""The estimate k3 of a KL divergence between two policies, one for each sampled word.

    $$k = e^{-\delta} - 1 + \delta, \qquad \delta = \log p - \log q$$

    log_probs: B N, of the sampled words under the policy that drew them.
    reference: B N, of the same words under the model it should stay near.

    Returns B N, in nats, never negative; its mean over words drawn from p is KL(p ‖ q).

    Raises AxesError for shapes that differ.

    Elsewhere: called k3. k1 is δ itself, with the same mean, as InstructGPT has it; k2 is δ²/2.
    As losses they differ: the mean gradient of k1 is zero, that of k2 is the one of the divergence.

    Paper: Schulman 2020, "Approximating KL divergence"; Shao et al. 2024, "DeepSeekMath",
    equation 4.

    >>> kl_positive(np.log(np.array([[0.5, 0.3]])), np.log(np.array([[0.4, 0.4]]))).round(5)
    array([[0.02314, 0.04565]])
    """
    delta = log_probs - reference  # B N
    return np.expm1(-delta) + delta


def kl_positive_vjp(
    log_probs: Float[Array, "B N"],
    reference: Fixed[Array, "B N"],
    grad: Float[Array, "B N"],
) -> Float[Array, "B N"]:
    r"""The gradient of the estimate with respect to the policy's log probabilities.

    $$\bar p = \bar k \left(1 - e^{-\delta}\right)$$

    log_probs: B N, of the sampled words under the policy.
    reference: B N, of the same words under the model it should stay near.
    grad: B N, the gradient with respect to the estimates.

    Returns B N, the gradient of log_probs; none goes to the reference.

    Raises AxesError for shapes that differ.

    Elsewhere: verl can return this estimate and use the gradient of k2 in the backward pass.

    Paper: Shao et al. 2024, "DeepSeekMath", equation 4, differentiated.

    >>> kl_positive_vjp(np.log(np.array([[0.5]])), np.log(np.array([[0.25]])), np.ones((1, 1)))
    array([[0.5]])
    """
    return grad * (1 - np.exp(reference - log_probs))


def gae(
    rewards: Float[Array, "B N"],
    values: Float[Array, "B N"],
    bootstrap: Float[Array, "B"],
    done: Mask[Array, "B N"],
    discount: Fraction[float, ""],
    trace: Fraction[float, ""],
) -> Float[Array, "B N"]:
    r"""Generalised advantage estimation: a discounted sum of temporal-difference errors.

    $$\delta_n = r_n + \gamma (1 - d_n) V_{n+1} - V_n, \qquad
      A_n = \delta_n + \gamma\lambda (1 - d_n) A_{n+1}$$

    rewards: B N, for the step taken at each place.
    values: B N, what was expected at each place before the step.
    bootstrap: B, what is expected after the last step, V_N.
    done: B N, 1 where an episode ends with the step, so that nothing follows.
    discount: γ, in [0, 1]; 1 in InstructGPT.
    trace: λ, in [0, 1]; 0.95 in InstructGPT.

    Returns B N, the advantages; advantages plus values are the targets of the values.

    Raises AxesError for a discount or trace outside [0, 1].

    Elsewhere: OpenAI's baselines store the flag of the previous step, one place later.
    verl carries the values over masked places.

    Paper: Schulman et al. 2016, "High-dimensional continuous control using generalized advantage
    estimation", equation 16.

    >>> rewards, values = np.array([[0.0, 1.0]]), np.array([[0.5, 0.25]])
    >>> gae(rewards, values, np.array([4.0]), np.array([[0, 1]]), 1.0, 0.5)
    array([[0.125, 0.75 ]])
    """
    going = discount * (1 - done)  # B N
    following = np.concatenate((values[:, 1:], bootstrap[:, None]), axis=1)  # B N
    surprise = rewards + going * following - values  # B N
    advantages, carried = [], 0 * bootstrap  # B
    for n in reversed(range(rewards.shape[1])):
        carried = surprise[:, n] + trace * going[:, n] * carried  # B
        advantages.append(carried)
    return np.stack(advantages[::-1], axis=1)  # B N


def gae_vjp(
    done: Mask[Array, "B N"],
    discount: Fraction[float, ""],
    trace: Fraction[float, ""],
    grad: Float[Array, "B N"],
) -> tuple[Float[Array, "B N"], Float[Array, "B N"], Float[Array, "B"]]:
    r"""The gradients of a loss that follows `gae`: the recursion runs forwards in time.

    $$u_n = \bar A_n + \gamma\lambda (1 - d_{n-1}) u_{n-1}, \qquad \bar r_n = u_n, \qquad
      \bar V_n = \gamma (1 - d_{n-1}) u_{n-1} - u_n$$

    done: B N, 1 where an episode ends with the step.
    discount: γ, in [0, 1].
    trace: λ, in [0, 1].
    grad: B N, the gradient with respect to the advantages.

    Returns the gradients of the rewards and of the values, each B N, and of the bootstrap, B.

    Raises AxesError for a discount or trace outside [0, 1].

    Elsewhere: implementations of PPO stop the gradient here.

    Paper: Schulman et al. 2016, "High-dimensional continuous control using generalized advantage
    estimation", equation 16, transposed.

    >>> done, grad = np.array([[0, 1]]), np.array([[1.0, 0.0]])
    >>> rewards_grad, values_grad, bootstrap_grad = gae_vjp(done, 1.0, 0.5, grad)
    >>> rewards_grad, values_grad, bootstrap_grad
    (array([[1. , 0.5]]), array([[-1. ,  0.5]]), array([0.]))
    """
    going = discount * (1 - done)  # B N
    told, carried = [], 0 * grad[:, 0]  # B
    for n in range(grad.shape[1]):
        carried = grad[:, n] + carried  # B
        told.append(carried)
        carried = trace * going[:, n] * carried
    rewards_grad = np.stack(told, axis=1)  # B N
    onwards = going * rewards_grad  # B N
    before = np.concatenate((0 * onwards[:, :1], onwards[:, :-1]), axis=1)  # B N
    return rewards_grad, before - rewards_grad, onwards[:, -1]


def whiten(
    x: Float[Array, "texts N"],
    keep: Mask[Array, "texts N"],
    eps: Epsilon[float, ""],
) -> Float[Array, "texts N"]:
    r"""Advantages, normalised to mean zero and variance one over the words that count.

    $$y = k\, \frac{x - m}{\sqrt{v + \epsilon}}, \qquad m = \frac{\sum k x}{\sum k}, \qquad
      v = \frac{\sum k (x - m)^2}{\sum k}$$

    x: texts N, advantages or rewards.
    keep: texts N, 1 where a word counts, 0 for padding.
    eps: ε, added to the variance.

    Returns texts N, zero where keep is 0.

    Raises AxesError for a negative eps; DomainError where nothing counts.

    Elsewhere: trl and verl divide by one fewer than the words. Rewards keep their mean in all of
    them; torchtune 0.6 keeps that of advantages, too. Dr. GRPO subtracts the mean alone.

    Paper: Ziegler et al. 2019, "Fine-tuning language models from human preferences"; the form is
    that of its code.

    >>> whiten(np.array([[1.0, 3.0, 100.0]]), np.array([[1, 1, 0]]), 0.0)
    array([[-1.,  1.,  0.]])
    """
    count = np.sum(keep)
    mean = np.sum(np.where(keep > 0, x, 0)) / count
    apart = np.where(keep > 0, x - mean, 0)  # texts N
    variance = np.sum(apart * apart) / count
    return apart / np.sqrt(variance + eps)  # texts N


def group_advantage(
    rewards: Fixed[Array, "texts N+1"],
    eps: Epsilon[float, ""],
) -> Float[Array, "texts N+1"]:
    r"""The advantage of each answer over the other answers to the same question.

    $$A_{bn} = \frac{r_{bn} - m_b}{s_b + \epsilon}, \qquad
      m_b = \frac{1}{N + 1} \sum_n r_{bn}, \qquad
      s_b^2 = \frac1N \sum_n (r_{bn} - m_b)^2$$

    rewards: texts N+1, of N + 1 answers to each question, at least 2.
    eps: ε, added to the deviation; 0.0001 in trl.

    Returns texts N+1, the advantage of each answer; all its words share it.

    Raises AxesError for a negative eps; DomainError for a single answer, or equal rewards without
    an eps.

    Elsewhere: verl adds 1e-6. Dr. GRPO does not divide by the deviation, RLOO compares with the
    mean of the other answers.

    Paper: Shao et al. 2024, "DeepSeekMath: pushing the limits of mathematical reasoning in open
    language models", section 4.1.2.

    >>> group_advantage(np.array([[1.0, 0.0, 0.0, 1.0]]), 0.0).round(4)
    array([[ 0.866, -0.866, -0.866,  0.866]])
    """
    apart = rewards - np.mean(rewards, axis=-1, keepdims=True)  # texts N+1
    variance = np.sum(apart * apart, axis=-1, keepdims=True) / (rewards.shape[-1] - 1)  # texts 1
    return apart / (np.sqrt(variance) + eps)  # texts N+1


def ppo_loss(
    log_probs: Float[Array, "texts N"],
    old: Fixed[Array, "texts N"],
    advantages: Fixed[Array, "texts N"],
    keep: Mask[Array, "texts N"],
    clip: Fraction[float, ""],
) -> Float[Array, ""]:
    r"""PPO's clipped loss: advantages times probability ratios, clipped in the paying direction.

    $$L = \frac{1}{\sum k} \sum k \max\left(-A\rho,\; -A \min(\max(\rho, 1 - \epsilon),
      1 + \epsilon)\right), \qquad \rho = \frac{p}{p_\text{old}}$$

    log_probs: texts N, of the sampled words under the current policy.
    old: texts N, of the same words under the policy that drew them.
    advantages: texts N, how much better than expected each word was.
    keep: texts N, 1 for words of the answer, 0 for padding.
    clip: ε, in [0, 1]; 0.2 in the paper.

    Returns a scalar; minus the mean advantage where both policies are equal.

    Raises AxesError for a clip outside [0, 1]; DomainError where nothing counts.

    Elsewhere: the paper's objective is the same with the other sign, a minimum of products. verl
    bounds the loss of negative advantages by 3 more; GRPO averages within each answer first; DAPO
    has another ε above.

    Paper: Schulman et al. 2017, "Proximal policy optimization algorithms", equation 7.

    >>> new, old = np.log(np.array([[1.5, 0.5]])), np.zeros((1, 2))
    >>> float(ppo_loss(new, old, np.array([[2.0, -1.0]]), np.array([[1, 1]]), 0.2).round(6))
    -0.8
    """
    ratio = np.exp(log_probs - old)  # texts N
    clipped = np.minimum(np.maximum(ratio, 1 - clip), 1 + clip)  # texts N
    losses = np.maximum(-advantages * ratio, -advantages * clipped)  # texts N
    return np.sum(np.where(keep > 0, losses, 0)) / np.sum(keep)


def ppo_loss_vjp(
    log_probs: Float[Array, "texts N"],
    old: Fixed[Array, "texts N"],
    advantages: Fixed[Array, "texts N"],
    keep: Mask[Array, "texts N"],
    clip: Fraction[float, ""],
    grad: Float[Array, ""],
) -> Float[Array, "texts N"]:
    r"""The gradient of PPO's clipped loss: zero where a ratio is clipped.

    $$\bar\ell = -\frac{\bar L\, k}{\sum k}\, A\, \rho\; \left[\text{not }
      (A > 0, \rho > 1 + \epsilon) \text{ nor } (A < 0, \rho < 1 - \epsilon)\right]$$

    log_probs: texts N, of the sampled words under the current policy.
    old: texts N, of the same words under the policy that drew them.
    advantages: texts N, how much better than expected each word was.
    keep: texts N, 1 for words of the answer, 0 for padding.
    clip: ε, in [0, 1].
    grad: a scalar, the gradient with respect to the loss, 1 for the loss itself.

    Returns texts N, the gradient of log_probs; at the edge itself it is not clipped.

    Raises AxesError for a clip outside [0, 1]; DomainError where nothing counts.

    Elsewhere: frameworks share the gradient of a maximum where both sides are equal; inside the
    range both sides are the ratio, so it comes to the same.

    Paper: Schulman et al. 2017, "Proximal policy optimization algorithms", equation 7,
    differentiated.

    >>> new, old, keep = np.log(np.array([[1.5, 0.5]])), np.zeros((1, 2)), np.array([[1, 1]])
    >>> ppo_loss_vjp(new, old, np.array([[2.0, 1.0]]), keep, 0.2, np.array(1.0)) + 0
    array([[ 0.  , -0.25]])
    """
    ratio = np.exp(log_probs - old)  # texts N
    far = (advantages > 0) & (ratio > 1 + clip) | (advantages < 0) & (ratio < 1 - clip)
    slope = np.where(far, 0, -advantages * ratio)  # texts N
    return grad / np.sum(keep) * np.where(keep > 0, slope, 0)


def value_loss(
    values: Float[Array, "texts N"],
    old: Fixed[Array, "texts N"],
    returns: Fixed[Array, "texts N"],
    keep: Mask[Array, "texts N"],
    clip: Deviation[float, ""],
) -> Float[Array, ""]:
    r"""Half the squared error of values, or of values clipped near the old ones if that is larger.

    $$L = \frac{1}{2 \sum k} \sum k \max\left((V - R)^2,\; (\tilde V - R)^2\right), \qquad
      \tilde V = V_\text{old} + \min(\max(V - V_\text{old}, -\epsilon), \epsilon)$$

    values: texts N, as they are now.
    old: texts N, as they were when the advantages were computed.
    returns: texts N, the targets: advantages plus old values.
    keep: texts N, 1 for words of the answer, 0 for padding.
    clip: ε, above 0; 0.2 in InstructGPT's predecessor.

    Returns a scalar, at least 0.

    Raises AxesError for a clip of 0 or less; DomainError where nothing counts.

    Elsewhere: CleanRL's variants have no half. A minimum instead of the maximum is a mistake that
    several libraries had.

    Paper: Schulman et al. 2017, "Proximal policy optimization algorithms"; the clipped values are
    those of its code.

    >>> float(value_loss(np.array([[3.0]]), np.array([[1.0]]), np.array([[3.0]]),
    ...                  np.array([[1]]), 0.5))
    1.125
    """
    near = old + np.minimum(np.maximum(values - old, -clip), clip)  # texts N
    losses = np.maximum((values - returns) ** 2, (near - returns) ** 2)  # texts N
    return np.sum(np.where(keep > 0, losses, 0)) / (2 * np.sum(keep))


def dpo_loss(
    chosen: Float[Array, "N"],
    rejected: Float[Array, "N"],
    chosen_reference: Fixed[Array, "N"],
    rejected_reference: Fixed[Array, "N"],
    beta: Deviation[float, ""],
    smoothing: Fraction[float, ""],
) -> Float[Array, ""]:
    r"""Direct preference optimisation: the loss of pairs with the policy's log ratios as rewards.

    $$L = \frac1N \sum_n (1 - s) \log(1 + e^{-\beta h_n}) + s \log(1 + e^{\beta h_n}), \qquad
      h = (c - c_\text{ref}) - (r - r_\text{ref})$$

    chosen: N, the log probability of the preferred answer: the sum over its words.
    rejected: N, that of the other one.
    chosen_reference: N, that of the preferred answer under the reference model.
    rejected_reference: N, that of the other one.
    beta: β, above 0; 0.1 in the paper.
    smoothing: s, the assumed rate of wrong labels; 0 in the paper.

    Returns a scalar, in nats of a pair; log 2 where the policy is its reference.

    Raises AxesError for a beta of 0 or less or a smoothing outside [0, 1]; DomainError for no pair.

    Elsewhere: SimPO divides by lengths and has no reference. SLiC has a hinge instead of the
    logarithm.

    Paper: Rafailov et al. 2023, "Direct preference optimization: your language model is secretly a
    reward model", equation 7; smoothing after Mitchell 2023, "A note on DPO with noisy
    preferences".

    >>> given = (np.array([x]) for x in (-10.0, -12.0, -11.0, -11.5))
    >>> float(dpo_loss(*given, 0.1, 0.0).round(6))
    0.620957
    """
    margin = (chosen - chosen_reference) - (rejected - rejected_reference)  # N
    scaled = beta * margin  # N
    tail = np.log1p(np.exp(-np.abs(scaled)))  # N
    right = np.maximum(-scaled, 0) + tail  # N
    wrong = np.maximum(scaled, 0) + tail  # N
    return np.mean((1 - smoothing) * right + smoothing * wrong)


def dpo_loss_vjp(
    chosen: Float[Array, "N"],
    rejected: Float[Array, "N"],
    chosen_reference: Fixed[Array, "N"],
    rejected_reference: Fixed[Array, "N"],
    beta: Deviation[float, ""],
    smoothing: Fraction[float, ""],
    grad: Float[Array, ""],
) -> tuple[Float[Array, "N"], Float[Array, "N"]]:
    r"""The gradients of `dpo_loss` with respect to the policy's log probabilities.

    $$\bar c = \frac{\bar L \beta}{N} \left(s\, \sigma(\beta h) - (1 - s)\, \sigma(-\beta h)\right),
      \qquad \bar r = -\bar c$$

    chosen: N, the log probability of the preferred answer.
    rejected: N, that of the other one.
    chosen_reference: N, that of the preferred answer under the reference model.
    rejected_reference: N, that of the other one.
    beta: β, above 0.
    smoothing: s, the assumed rate of wrong labels.
    grad: a scalar, the gradient with respect to the loss, 1 for the loss itself.

    Returns the gradients of chosen and rejected, each N; none goes to the reference.

    Raises AxesError for a beta of 0 or less or a smoothing outside [0, 1]; DomainError for no pair.

    Elsewhere: the paper writes it as a weight on the difference of two likelihood gradients.

    Paper: Rafailov et al. 2023, "Direct preference optimization: your language model is secretly a
    reward model", section 4.

    >>> given = [np.array([x]) for x in (-10.0, -12.0, -11.0, -11.5)]
    >>> dpo_loss_vjp(*given, 0.1, 0.0, np.array(1.0))[0].round(5)
    array([-0.04626])
    """
    margin = (chosen - chosen_reference) - (rejected - rejected_reference)  # N
    doubt = smoothing * sigmoid(beta * margin) - (1 - smoothing) * sigmoid(-beta * margin)
    chosen_grad = grad * beta / len(chosen) * doubt  # N
    return chosen_grad, -chosen_grad


def ipo_loss(
    chosen: Float[Array, "N"],
    rejected: Float[Array, "N"],
    chosen_reference: Fixed[Array, "N"],
    rejected_reference: Fixed[Array, "N"],
    beta: Deviation[float, ""],
) -> Float[Array, ""]:
    r"""Identity preference optimisation: the squared distance of the log ratio from a target.

    $$L = \frac1N \sum_n \left(h_n - \frac{1}{2\beta}\right)^2, \qquad
      h = (c - c_\text{ref}) - (r - r_\text{ref})$$

    chosen: N, the log probability of the preferred answer: the mean over its words.
    rejected: N, that of the other one.
    chosen_reference: N, that of the preferred answer under the reference model.
    rejected_reference: N, that of the other one.
    beta: β, above 0, called τ in the paper.

    Returns a scalar, at least 0; 1 / (4 β²) where the policy is its reference.

    Raises AxesError for a beta of 0 or less; DomainError for no pair.

    Elsewhere: the paper's own experiments and the first repository of DPO take sums over words,
    trl and torchtune the means.

    Paper: Azar et al. 2024, "A general theoretical paradigm to understand learning from human
    preferences", equation 17.

    >>> given = (np.array([x]) for x in (-10.0, -12.0, -11.0, -11.5))
    >>> float(ipo_loss(*given, 0.1))
    12.25
    """
    margin = (chosen - chosen_reference) - (rejected - rejected_reference)  # N
    return np.mean((margin - 1 / (2 * beta)) ** 2)

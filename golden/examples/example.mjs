// Checks four operations, written in JavaScript, against the golden vectors as float32.
// Sums and products are float64; whatever a Float32Array or Math.fround holds is float32.
//
// node example.mjs GOLDEN_FOLDER [--mistake OPERATION]
import { at, check, zeros } from "./golden.mjs";

const { exp, fround, log, max, min, sqrt } = Math;

const dot = (a, b) => fround(a.reduce((sum, x, i) => sum + x * b[i], 0));

// Scores become weights, in place; a row of -inf becomes zeros. Returns log(sum(exp(scores))).
function softmax(z) {
  const top = z.reduce((a, b) => max(a, b), -Infinity);
  z.forEach((x, i) => (z[i] = top > -Infinity ? exp(x - top) : 0));
  const sum = z.reduce((a, b) => a + b, 0);
  z.forEach((x, i) => (z[i] = x / max(sum, 1)));
  return fround(top + log(sum));
}

function attention({ query, key, value, bias }, mistake) {
  const [B, H, N, E] = query.shape, [, G, M] = key.shape, F = value.shape[3];
  const z = new Float32Array(M), result = zeros(B, H, N, F);
  const scale = mistake ? E : sqrt(E);
  for (let row = 0; row < B * H * N; row++) {
    const b = Math.floor(row / (H * N)), h = Math.floor(row / N) % H;
    const first = (b * G + Math.floor(h / (H / G))) * M; // of its key head's keys
    for (let m = 0; m < M; m++) {
      const k = key.data.subarray((first + m) * E, (first + m + 1) * E);
      z[m] = dot(query.data.subarray(row * E, (row + 1) * E), k) / scale;
      z[m] += at(bias, [B, H, N, M], row * M + m);
    }
    softmax(z);
    for (let i = 0; i < M * F; i++)
      result.data[row * F + (i % F)] += z[Math.floor(i / F)] * value.data[first * F + i];
  }
  return result;
}

function cosine(a, b) {
  const lengths = sqrt(dot(a, a)) * sqrt(dot(b, b));
  return lengths > 0 ? dot(a, b) / lengths : 0;
}

// The mean of -log p of the pairs: row i of a belongs to row i of b.
function cross_entropy(a, b, scale) {
  const [N, D] = a.shape, z = new Float32Array(N);
  const row = (x, i) => x.data.subarray(i * D, (i + 1) * D);
  let loss = 0;
  for (let i = 0; i < N; i++) {
    for (let j = 0; j < N; j++) z[j] = scale * cosine(row(a, i), row(b, j));
    const of_pair = z[i];
    loss += softmax(z) - of_pair;
  }
  return loss / N;
}

function clip_loss({ image_features, text_features, log_scale }, mistake) {
  const scale = exp(log_scale.data[0]), result = zeros();
  const of_images = cross_entropy(image_features, text_features, scale);
  const of_texts = cross_entropy(text_features, image_features, scale);
  result.data[0] = mistake ? of_images : (of_images + of_texts) / 2;
  return result;
}

function q_sample({ x_start: x, t, noise, alpha_bar }, mistake) {
  const size = x.data.length / t.data.length;
  x.data.forEach((x_start, i) => {
    const share = alpha_bar.data[t.data[Math.floor(i / size)]]; // of the signal
    const sigma = mistake ? 1 - share : sqrt(1 - share);
    x.data[i] = sqrt(share) * x_start + sigma * noise.data[i];
  });
  return x;
}

function p_sample({ x_t: x, t, eps, noise, betas, log_variance, clip }, mistake) {
  const size = x.data.length / t.data.length;
  x.data.forEach((x_t, i) => {
    const time = t.data[Math.floor(i / size)], beta = betas.data[time];
    const before = betas.data.slice(0, time).reduce((share, b) => fround(share * (1 - b)), 1);
    const share = fround(before * (1 - beta)); // of the signal; before: at time - 1
    const x_start = fround((x_t - sqrt(1 - share) * eps.data[i]) / sqrt(share));
    const from_start = (sqrt(before) * beta) / (1 - share);
    const from_x_t = ((1 - before) * sqrt(1 - beta)) / (1 - share);
    const clipped = min(max(x_start, -clip.data[0]), clip.data[0]);
    const sigma = time > 0 ? exp(at(log_variance, x.shape, i) / (mistake ? 1 : 2)) : 0;
    x.data[i] = from_start * clipped + from_x_t * x_t + sigma * noise.data[i];
  });
  return x;
}

check({
  "attention/attention": attention,
  "clip/clip_loss": clip_loss,
  "diffusion/q_sample": q_sample,
  "diffusion/p_sample": p_sample,
});

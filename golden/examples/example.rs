// Checks four operations, written in Rust and f32, against the golden vectors.
//
// rustc --edition 2021 -O example.rs -o example
// ./example GOLDEN_FOLDER [--mistake OPERATION]
#![allow(non_snake_case)]
mod golden;
mod json;
use golden::{at, check, input, optional, scalar, zeros, Array, Json};

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (x, y)| sum + x * y)
}

/// Scores become weights, in place; a row of -inf becomes zeros. Returns log(sum(exp(scores))).
fn softmax(z: &mut [f32]) -> f32 {
    let top = z.iter().fold(f32::NEG_INFINITY, |top, &x| top.max(x));
    z.iter_mut().for_each(|x| *x = if top > f32::NEG_INFINITY { (*x - top).exp() } else { 0.0 });
    let sum = z.iter().fold(0.0, |sum, x| sum + x);
    z.iter_mut().for_each(|x| *x /= sum.max(1.0));
    top + sum.ln()
}

fn attention(given: &Json, mistake: bool) -> Array {
    let [query, key, value] = input(given, ["query", "key", "value"]);
    let bias = optional(given, "bias");
    let [B, H, N, E] = query.shape[..] else { panic!("query has four axes") };
    let (G, M, F) = (key.shape[1], key.shape[2], value.shape[3]);
    let scale = if mistake { E as f32 } else { (E as f32).sqrt() };
    let (mut z, mut result) = (vec![0.0; M], zeros(&[B, H, N, F]));
    for row in 0..B * H * N {
        let first = (row / (H * N) * G + row / N % H / (H / G)) * M; // of its key head's keys
        for m in 0..M {
            z[m] = dot(&query.data[row * E..][..E], &key.data[(first + m) * E..][..E]) / scale;
            z[m] += bias.as_ref().map_or(0.0, |bias| at(bias, &[B, H, N, M], row * M + m));
        }
        softmax(&mut z);
        for i in 0..M * F {
            result.data[row * F + i % F] += z[i / F] * value.data[first * F + i];
        }
    }
    result
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let lengths = dot(a, a).sqrt() * dot(b, b).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
}

/// The mean of -log p of the pairs: row i of a belongs to row i of b.
fn cross_entropy(a: &Array, b: &Array, log_scale: &Array) -> f32 {
    let (N, D, scale) = (a.shape[0], a.shape[1], log_scale.data[0].exp());
    let loss = |i: usize| {
        let logit = |j: usize| scale * cosine(&a.data[i * D..][..D], &b.data[j * D..][..D]);
        softmax(&mut (0..N).map(logit).collect::<Vec<f32>>()) - logit(i)
    };
    (0..N).map(loss).sum::<f32>() / N as f32
}

fn clip_loss(given: &Json, mistake: bool) -> Array {
    let [images, texts, log_scale] = input(given, ["image_features", "text_features", "log_scale"]);
    let loss = cross_entropy(&images, &texts, &log_scale);
    scalar(if mistake { loss } else { (loss + cross_entropy(&texts, &images, &log_scale)) / 2.0 })
}

fn q_sample(given: &Json, mistake: bool) -> Array {
    let [mut x, t, noise, alpha_bar] = input(given, ["x_start", "t", "noise", "alpha_bar"]);
    for i in 0..x.data.len() {
        // the share of signal at the sample's time
        let share = alpha_bar.data[t.data[i * t.data.len() / x.data.len()] as usize];
        let sigma = if mistake { 1.0 - share } else { (1.0 - share).sqrt() };
        x.data[i] = share.sqrt() * x.data[i] + sigma * noise.data[i];
    }
    x
}

fn p_sample(given: &Json, mistake: bool) -> Array {
    let [mut x, t, eps, noise] = input(given, ["x_t", "t", "eps", "noise"]);
    let [betas, log_variance, clip] = input(given, ["betas", "log_variance", "clip"]);
    for i in 0..x.data.len() {
        let time = t.data[i * t.data.len() / x.data.len()] as usize;
        // the shares of signal at time - 1 and at time
        let before = betas.data[..time].iter().fold(1.0, |share, beta| share * (1.0 - beta));
        let (beta, share) = (betas.data[time], before * (1.0 - betas.data[time]));
        let x_start = (x.data[i] - (1.0 - share).sqrt() * eps.data[i]) / share.sqrt();
        let x_start = x_start.max(-clip.data[0]).min(clip.data[0]);
        x.data[i] *= (1.0 - before) * (1.0 - beta).sqrt() / (1.0 - share);
        x.data[i] += before.sqrt() * beta / (1.0 - share) * x_start;
        let sigma = (at(&log_variance, &x.shape, i) / if mistake { 1.0 } else { 2.0 }).exp();
        x.data[i] += if time > 0 { sigma * noise.data[i] } else { 0.0 };
    }
    x
}

fn main() {
    check(&[("attention/attention", attention), ("clip/clip_loss", clip_loss),
            ("diffusion/q_sample", q_sample), ("diffusion/p_sample", p_sample)]);
}

// Checks four operations, written in C++ and float32, against the golden vectors.
//
// g++ -std=c++17 -O1 -Wall -Wextra -ffp-contract=off example.cpp -o example
// ./example GOLDEN_FOLDER [--mistake OPERATION]
#include <numeric>
#include <vector>

#include "golden.h"

static float dot(const float *a, const float *b, long n) {
    return std::inner_product(a, a + n, b, 0.0f);
}

// Scores become weights, in place; a row of -inf becomes zeros. Returns log(sum(exp(scores))).
static float softmax(std::vector<float> &z) {
    float top = -INFINITY, sum = 0;
    for (float x : z) top = fmaxf(top, x);
    for (float &x : z) sum += x = top > -INFINITY ? expf(x - top) : 0;
    for (float &x : z) x /= fmaxf(sum, 1);
    return top + logf(sum);
}

static Array attention(const Json *in, int mistake) {
    Array query = input(in, "query"), key = input(in, "key"), value = input(in, "value");
    long B = query.shape[0], H = query.shape[1], N = query.shape[2], E = query.shape[3];
    long G = key.shape[1], M = key.shape[2], F = value.shape[3], full[] = {B, H, N, M};
    float scale = mistake ? float(E) : sqrtf(float(E));
    Array bias = input(in, "bias"), result = zeros(4, std::vector{B, H, N, F}.data());
    std::vector<float> z(M);
    for (long row = 0; row < B * H * N; row++) {
        long first = (row / (H * N) * G + row / N % H / (H / G)) * M;  // of its key head's keys
        for (long m = 0; m < M; m++)
            z[m] = dot(query.data + row * E, key.data + (first + m) * E, E) / scale
                 + at(bias, 4, full, row * M + m);
        softmax(z);
        for (long i = 0; i < M * F; i++)
            result.data[row * F + i % F] += z[i / F] * value.data[first * F + i];
    }
    return result;
}

static float cosine(const float *a, const float *b, long n) {
    float lengths = sqrtf(dot(a, a, n)) * sqrtf(dot(b, b, n));
    return lengths > 0 ? dot(a, b, n) / lengths : 0;
}

// The mean of -log p of the pairs: row i of a belongs to row i of b.
static float cross_entropy(Array a, Array b, float scale) {
    long N = a.shape[0], D = a.shape[1];
    float loss = 0;
    std::vector<float> z(N);
    for (long i = 0; i < N; i++) {
        for (long j = 0; j < N; j++) z[j] = scale * cosine(a.data + i * D, b.data + j * D, D);
        float of_pair = z[i];
        loss += softmax(z) - of_pair;
    }
    return loss / float(N);
}

static Array clip_loss(const Json *in, int mistake) {
    Array images = input(in, "image_features"), texts = input(in, "text_features");
    float scale = expf(input(in, "log_scale").data[0]), loss = cross_entropy(images, texts, scale);
    return scalar(mistake ? loss : (loss + cross_entropy(texts, images, scale)) / 2);
}

static Array q_sample(const Json *in, int mistake) {
    Array x = input(in, "x_start"), t = input(in, "t"), z = input(in, "noise");
    Array alpha_bar = input(in, "alpha_bar");
    for (long i = 0; i < x.size; i++) {
        float share = alpha_bar.data[long(t.data[i / (x.size / t.size)])];  // of the signal
        x.data[i] = sqrtf(share) * x.data[i] + (mistake ? 1 - share : sqrtf(1 - share)) * z.data[i];
    }
    return x;
}

static Array p_sample(const Json *in, int mistake) {
    Array x = input(in, "x_t"), t = input(in, "t"), eps = input(in, "eps"), z = input(in, "noise");
    Array betas = input(in, "betas"), clip = input(in, "clip"), log_var = input(in, "log_variance");
    for (long i = 0; i < x.size; i++) {
        long time = long(t.data[i / (x.size / t.size)]);
        // the shares of signal at time - 1 and at time
        float before = 1, share = 1, beta = betas.data[time];
        for (long s = 0; s <= time; s++) before = share, share *= 1 - betas.data[s];
        float &x_t = x.data[i], x_start = (x_t - sqrtf(1 - share) * eps.data[i]) / sqrtf(share);
        x_start = fminf(fmaxf(x_start, -clip.data[0]), clip.data[0]);
        x_t *= (1 - before) * sqrtf(1 - beta) / (1 - share);
        x_t += sqrtf(before) * beta / (1 - share) * x_start;
        if (time > 0) x_t += expf(at(log_var, x.axes, x.shape, i) / (mistake ? 1 : 2)) * z.data[i];
    }
    return x;
}

int main(int words, char **arguments) {
    Operation operations[] = {{"attention/attention", attention}, {"clip/clip_loss", clip_loss},
                              {"diffusion/q_sample", q_sample}, {"diffusion/p_sample", p_sample}};
    return check(operations, 4, words, arguments);
}

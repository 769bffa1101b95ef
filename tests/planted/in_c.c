/* Right and wrong implementations as people write them in C: float in, float out. */

#include <math.h>
#include <string.h>

typedef long long index_t;

static float top_of(const float *z, int n) {
    float top = -INFINITY;
    for (int k = 0; k < n; k++) top = fmaxf(top, z[k]);
    return top > -INFINITY ? top : 0.0f;
}

void layer_norm__raw_numerator(const float *x, const float *gain, const float *bias, double eps,
                               float *y, int rows, int D) {
    for (int r = 0; r < rows; r++, x += D, y += D) {
        double mean = 0, var = 0;
        for (int d = 0; d < D; d++) mean += x[d];
        mean /= D;
        for (int d = 0; d < D; d++) var += (x[d] - mean) * (x[d] - mean);
        double inv = 1.0 / sqrt(var / D + eps);
        for (int d = 0; d < D; d++) y[d] = (float)(gain[d] * (x[d] * inv) + bias[d]);
    }
}

void layer_norm__squared_and_bias_inside(const float *x, const float *gain, const float *bias,
                                         double eps, float *y, int rows, int D) {
    for (int r = 0; r < rows; r++, x += D, y += D) {
        double mean = 0, var = 0;
        for (int d = 0; d < D; d++) mean += x[d];
        mean /= D;
        for (int d = 0; d < D; d++) var += (x[d] - mean) * (x[d] - mean);
        var = var / D + eps;
        for (int d = 0; d < D; d++) y[d] = (float)(gain[d] * ((x[d] - mean) / (var * var) + bias[d]));
    }
}

void layer_norm__honest_two_loops(const float *x, const float *gain, const float *bias, double eps,
                                  float *y, int rows, int D) {
    for (int r = 0; r < rows; r++, x += D, y += D) {
        float mean = 0, var = 0;
        for (int d = D - 1; d >= 0; d--) mean += x[d];
        mean /= (float)D;
        for (int d = 0; d < D; d++) var = fmaf(x[d] - mean, x[d] - mean, var);
        float root = sqrtf(var / (float)D + (float)eps);
        for (int d = 0; d < D; d++) y[d] = (x[d] - mean) / root * gain[d] + bias[d];
    }
}

void rms_norm__root_forgotten(const float *x, const float *gain, double eps, float *y, int rows,
                              int D) {
    for (int r = 0; r < rows; r++, x += D, y += D) {
        double squares = 0;
        for (int d = 0; d < D; d++) squares += (double)x[d] * x[d];
        for (int d = 0; d < D; d++) y[d] = (float)(x[d] / (squares / D + eps) * gain[d]);
    }
}

void softmax__averaged(const float *z, float *y, int rows, int K) {
    for (int r = 0; r < rows; r++, z += K, y += K) {
        float top = top_of(z, K), total = 0;
        for (int k = 0; k < K; k++) total += y[k] = expf(z[k] - top);
        for (int k = 0; k < K; k++) y[k] = total > 0 ? y[k] / total / (float)K : 0.0f;
    }
}

void softmax__powers_of_two_averaged(const float *z, float *y, int rows, int K) {
    for (int r = 0; r < rows; r++, z += K, y += K) {
        float top = top_of(z, K), total = 0;
        for (int k = 0; k < K; k++) total += y[k] = exp2f(z[k] - top);
        for (int k = 0; k < K; k++) y[k] = total > 0 ? y[k] / total / (float)K : 0.0f;
    }
}

void softmax__honest_exp2(const float *z, float *y, int rows, int K) {
    for (int r = 0; r < rows; r++, z += K, y += K) {
        double top = top_of(z, K), total = 0;
        for (int k = 0; k < K; k++) total += exp2((z[k] - top) * M_LOG2E);
        for (int k = 0; k < K; k++)
            y[k] = total > 0 ? (float)(exp2((z[k] - top) * M_LOG2E) / total) : 0.0f;
    }
}

void quick_gelu__factor_twice(const float *x, float *y, int n) {
    for (int i = 0; i < n; i++) y[i] = (float)(1.702 * x[i] / (1 + exp(-1.702 * x[i])));
}

void silu__sign_lost(const float *x, float *y, int n) {
    for (int i = 0; i < n; i++) y[i] = (float)(x[i] / (1 + exp((double)x[i])));
}

void silu__honest_double(const float *x, float *y, int n) {
    for (int i = 0; i < n; i++) y[i] = (float)(x[i] / (1 + exp(-(double)x[i])));
}

void gelu__two_not_rooted(const float *x, float *y, int n) {
    for (int i = 0; i < n; i++) y[i] = (float)(0.5 * x[i] * (1 + erf(x[i] / 2.0)));
}

void l2_normalize__manhattan(const float *x, float *y, int rows, int D) {
    for (int r = 0; r < rows; r++, x += D, y += D) {
        double total = 0;
        for (int d = 0; d < D; d++) total += fabs(x[d]);
        for (int d = 0; d < D; d++) y[d] = (float)(x[d] / (total > 0 ? total : 1));
    }
}

void linear__bias_backwards(const float *x, const float *w, const float *bias, float *y, int rows,
                            int D, int O) {
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < O; o++) {
            double s = bias ? bias[O - 1 - o] : 0;
            for (int d = 0; d < D; d++) s += (double)x[r * D + d] * w[o * D + d];
            y[r * O + o] = (float)s;
        }
}

void linear__honest_fma(const float *x, const float *w, const float *bias, float *y, int rows,
                        int D, int O) {
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < O; o++) {
            float s = bias ? bias[o] : 0;
            for (int d = 0; d < D; d++) s = fmaf(x[r * D + d], w[o * D + d], s);
            y[r * O + o] = s;
        }
}

void cross_entropy__not_averaged(const float *z, const index_t *labels, float *y, int N, int K) {
    double loss = 0;
    for (int n = 0; n < N; n++, z += K) {
        double top = top_of(z, K), total = 0;
        for (int k = 0; k < K; k++) total += exp(z[k] - top);
        loss += top + log(total) - z[labels[n]];
    }
    *y = (float)loss;
}

/* query B H N E, key B G M E, value B G M F, bias B H N M; `by` divides the scores. */
static void attend(const float *q, const float *k, const float *v, const float *bias, float *y,
                   int B, int H, int G, int N, int M, int E, int F, double by) {
    for (int b = 0; b < B; b++)
        for (int h = 0; h < H; h++)
            for (int n = 0; n < N; n++) {
                int g = b * G + h / (H / G), row = (b * H + h) * N + n;
                double s[M], top = -INFINITY, total = 0;
                for (int m = 0; m < M; m++) {
                    double dot = 0;
                    for (int e = 0; e < E; e++) dot += (double)q[row * E + e] * k[(g * M + m) * E + e];
                    s[m] = dot / by + bias[row * M + m];
                    top = fmax(top, s[m]);
                }
                for (int m = 0; m < M; m++) total += s[m] = top > -INFINITY ? exp(s[m] - top) : 0;
                for (int f = 0; f < F; f++) {
                    double mixed = 0;
                    for (int m = 0; m < M; m++) mixed += s[m] * v[(g * M + m) * F + f];
                    y[row * F + f] = total > 0 ? (float)(mixed / total) : 0.0f;
                }
            }
}

void attention__root_of_the_heads(const float *q, const float *k, const float *v, const float *bias,
                                  float *y, int B, int H, int G, int N, int M, int E, int F) {
    attend(q, k, v, bias, y, B, H, G, N, M, E, F, sqrt(H));
}

void attention__honest_loops(const float *q, const float *k, const float *v, const float *bias,
                             float *y, int B, int H, int G, int N, int M, int E, int F) {
    attend(q, k, v, bias, y, B, H, G, N, M, E, F, sqrt(E));
}

void alpha_bar__before_the_step(const float *betas, float *y, int T) {
    double share = 1;
    for (int t = 0; t < T; t++) {
        y[t] = (float)share;
        share *= 1 - (double)betas[t];
    }
}

void alpha_bar__honest_logarithms(const float *betas, float *y, int T) {
    double log_share = 0;
    for (int t = 0; t < T; t++) {
        log_share += log1p(-(double)betas[t]);
        y[t] = (float)exp(log_share);
    }
}

void q_sample__weights_exchanged(const float *x, const index_t *t, const float *noise,
                                 const float *share, float *y, int B, int n) {
    for (int b = 0; b < B; b++)
        for (int i = b * n; i < (b + 1) * n; i++) {
            double a = share[t[b]];
            y[i] = (float)(sqrt(1 - a) * x[i] + sqrt(a) * noise[i]);
        }
}

void x0_from_eps__plus(const float *x, const index_t *t, const float *eps, const float *share,
                       float *y, int B, int n) {
    for (int b = 0; b < B; b++)
        for (int i = b * n; i < (b + 1) * n; i++) {
            double a = share[t[b]];
            y[i] = (float)((x[i] + sqrt(1 - a) * eps[i]) / sqrt(a));
        }
}

void x0_from_eps__neither_rooted_nor_divided(const float *x, const index_t *t, const float *eps,
                                             const float *share, float *y, int B, int n) {
    for (int b = 0; b < B; b++)
        for (int i = b * n; i < (b + 1) * n; i++)
            y[i] = (float)(x[i] - (1 - (double)share[t[b]]) * eps[i]);
}

void classifier_guidance__deviation(const float *mean, const float *variance, const float *gradient,
                                    double scale, float *y, int n) {
    for (int i = 0; i < n; i++) y[i] = (float)(mean[i] + scale * sqrt(variance[i]) * gradient[i]);
}

void unpatchify__pixels_turned(const float *x, float *y, int B, int rows, int cols, int C, int P) {
    for (int b = 0; b < B; b++)
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < cols; c++)
                for (int k = 0; k < C; k++)
                    for (int i = 0; i < P; i++)
                        for (int j = 0; j < P; j++, x++)
                            y[((b * C + k) * rows * P + r * P + j) * cols * P + c * P + i] = *x;
}

void patchify__from_the_bottom(const float *x, float *y, int B, int C, int rows, int cols, int P) {
    int height = rows * P, width = cols * P;
    for (int b = 0; b < B; b++)
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < cols; c++)
                for (int k = 0; k < C; k++)
                    for (int i = 0; i < P; i++)
                        for (int j = 0; j < P; j++)
                            *y++ = x[((b * C + k) * height + height - 1 - r * P - i) * width + c * P + j];
}

void ddim_step__eta_squared(const float *x, const index_t *t, const index_t *t_prev,
                            const float *eps, const float *noise, const float *share, double eta,
                            float *y, int B, int n) {
    for (int b = 0; b < B; b++) {
        double a = share[t[b]], p = t_prev[b] < 0 ? 1 : share[t_prev[b]];
        double sigma = eta * eta * sqrt((1 - p) / (1 - a) * (1 - a / p));
        for (int i = b * n; i < (b + 1) * n; i++) {
            double x0 = (x[i] - sqrt(1 - a) * eps[i]) / sqrt(a);
            y[i] = (float)(sqrt(p) * x0 + sqrt(fmax(1 - p - sigma * sigma, 0)) * eps[i] + sigma * noise[i]);
        }
    }
}

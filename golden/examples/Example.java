// Checks four operations, written in Java and float, against the golden vectors.
//
// javac -d CLASSES Example.java Golden.java Json.java
// java -cp CLASSES Example GOLDEN_FOLDER [--mistake OPERATION]
final class Example extends Golden {
  static float dot(float[] a, int first, float[] b, int second, int n) {
    float sum = 0;
    for (int i = 0; i < n; i++) sum += a[first + i] * b[second + i];
    return sum;
  }

  /** Scores become weights, in place; -inf alone becomes zeros. Returns log(sum(exp(scores))). */
  static float softmax(float[] z) {
    float top = -INFINITY, sum = 0;
    for (float x : z) top = Math.max(top, x);
    for (int i = 0; i < z.length; i++) sum += z[i] = top > -INFINITY ? exp(z[i] - top) : 0;
    for (int i = 0; i < z.length; i++) z[i] /= Math.max(sum, 1);
    return top + log(sum);
  }

  static Array attention(Json in, boolean mistake) {
    Array query = input(in, "query"), key = input(in, "key"), value = input(in, "value");
    int B = query.shape[0], H = query.shape[1], N = query.shape[2], E = query.shape[3];
    int G = key.shape[1], M = key.shape[2], F = value.shape[3];
    Array bias = input(in, "bias"), result = zeros(B, H, N, F);
    float scale = mistake ? E : sqrt(E), z[] = new float[M];
    for (int row = 0; row < B * H * N; row++) {
      int first = (row / (H * N) * G + row / N % H / (H / G)) * M; // of its key head's keys
      for (int m = 0; m < M; m++)
        z[m] = dot(query.data, row * E, key.data, (first + m) * E, E) / scale
            + at(bias, new int[] {B, H, N, M}, row * M + m);
      softmax(z);
      for (int i = 0; i < M * F; i++)
        result.data[row * F + i % F] += z[i / F] * value.data[first * F + i];
    }
    return result;
  }

  static float cosine(float[] a, int first, float[] b, int second, int n) {
    float lengths = sqrt(dot(a, first, a, first, n)) * sqrt(dot(b, second, b, second, n));
    return lengths > 0 ? dot(a, first, b, second, n) / lengths : 0;
  }

  /** The mean of -log p of the pairs: row i of a belongs to row i of b. */
  static float cross_entropy(Array a, Array b, float scale) {
    int N = a.shape[0], D = a.shape[1];
    float loss = 0, z[] = new float[N];
    for (int i = 0; i < N; i++) {
      for (int j = 0; j < N; j++) z[j] = scale * cosine(a.data, i * D, b.data, j * D, D);
      float of_pair = z[i];
      loss += softmax(z) - of_pair;
    }
    return loss / N;
  }

  static Array clip_loss(Json in, boolean mistake) {
    Array images = input(in, "image_features"), texts = input(in, "text_features");
    float scale = exp(input(in, "log_scale").data[0]), loss = cross_entropy(images, texts, scale);
    return scalar(mistake ? loss : (loss + cross_entropy(texts, images, scale)) / 2);
  }

  static Array q_sample(Json in, boolean mistake) {
    Array x = input(in, "x_start"), t = input(in, "t"), noise = input(in, "noise");
    Array alpha_bar = input(in, "alpha_bar");
    for (int i = 0; i < x.data.length; i++) {
      float share = alpha_bar.data[(int) t.data[i / (x.data.length / t.data.length)]];
      x.data[i] = sqrt(share) * x.data[i] + (mistake ? 1 - share : sqrt(1 - share)) * noise.data[i];
    }
    return x;
  }

  static Array p_sample(Json in, boolean mistake) {
    Array x = input(in, "x_t"), t = input(in, "t"), eps = input(in, "eps"), z = input(in, "noise");
    Array betas = input(in, "betas"), clip = input(in, "clip"), log_var = input(in, "log_variance");
    for (int i = 0; i < x.data.length; i++) {
      int time = (int) t.data[i / (x.data.length / t.data.length)];
      // the shares of signal at time - 1 and at time
      float before = 1, share = 1 - betas.data[0], beta = betas.data[time];
      for (int s = 1; s <= time; s++) share = (before = share) * (1 - betas.data[s]);
      float x_start = (x.data[i] - sqrt(1 - share) * eps.data[i]) / sqrt(share);
      x_start = Math.min(Math.max(x_start, -clip.data[0]), clip.data[0]);
      x.data[i] *= (1 - before) * sqrt(1 - beta) / (1 - share);
      x.data[i] += sqrt(before) * beta / (1 - share) * x_start;
      if (time > 0) x.data[i] += exp(at(log_var, x.shape, i) / (mistake ? 1 : 2)) * z.data[i];
    }
    return x;
  }

  public static void main(String[] words) {
    System.exit(check(words, "attention/attention", Example::attention)
        | check(words, "clip/clip_loss", Example::clip_loss)
        | check(words, "diffusion/q_sample", Example::q_sample)
        | check(words, "diffusion/p_sample", Example::p_sample));
  }
}

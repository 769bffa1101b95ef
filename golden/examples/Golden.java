import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/** Reads golden vectors in Java: arrays of float, and the check of an operation's file. */
class Golden {
  /** Numbers in C order; a scalar has no axes. */
  static final class Array {
    final int[] shape;
    final float[] data;

    Array(int[] shape, float[] data) {
      this.shape = shape;
      this.data = data;
    }
  }

  /** What computes the result from a case's inputs. */
  interface Operation {
    Array compute(Json inputs, boolean mistake);
  }

  static final float INFINITY = Float.POSITIVE_INFINITY;

  static Array zeros(int... shape) {
    int size = 1;
    for (int n : shape) size *= n;
    return new Array(shape, new float[size]);
  }

  static Array scalar(float number) {
    return new Array(new int[0], new float[] {number});
  }

  static float sqrt(float x) {
    return (float) Math.sqrt(x);
  }

  static float exp(float x) {
    return (float) Math.exp(x);
  }

  static float log(float x) {
    return (float) Math.log(x);
  }

  /** An input as float, null for null; integers are times, which float holds exactly. */
  static Array input(Json inputs, String name) {
    Json entry = inputs.get(name);
    if (entry.get("data") == null) return null;
    List<Json> data = entry.get("data").items(), shape = entry.get("shape").items();
    Array x = zeros(shape.stream().mapToInt(n -> (int) n.number()).toArray());
    for (int i = 0; i < x.data.length; i++) x.data[i] = (float) data.get(i).number();
    return x;
  }

  /** The number that x, broadcast to a shape, has at the flat index i; 0 for null. */
  static float at(Array x, int[] shape, int i) {
    int place = 0, stride = 1;
    if (x == null) return 0;
    for (int last = 1; last <= x.shape.length; last++) { // from the last axis to the first
      int size = x.shape[x.shape.length - last], wide = shape[shape.length - last];
      if (size > 1) place += i % wide * stride;
      stride *= size;
      i /= wide;
    }
    return x.data[place];
  }

  /** The largest |found - expected| / allowed; infinite where one is missing or not finite. */
  static double worstRatio(Array found, List<Json> expected, List<Json> allowed) {
    double worst = expected.size() == found.data.length ? 0 : INFINITY;
    for (int i = 0; i < Math.min(expected.size(), found.data.length); i++) {
      double wanted = expected.get(i).number(), number = found.data[i];
      double error = Math.abs(number - wanted);
      double ratio = number == wanted ? 0 : error / allowed.get(i).number();
      worst = Math.max(worst, Double.isNaN(ratio) ? INFINITY : ratio);
    }
    return worst;
  }

  static String read(Path path) {
    try {
      return Files.readString(path);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /** Checks all float32 cases of a file. The words are GOLDEN_FOLDER [--mistake NAME]. */
  static int check(String[] words, String file, Operation operation) {
    String name = file.split("/")[1];
    boolean mistake = words.length == 3 && words[2].equals(name);
    int cases = 0;
    double worst = 0;
    Json content = Json.parse(read(Path.of(words[0], file + ".json")));
    for (Json c : content.get("cases").items()) {
      Json allowed = c.get("allowed").get("float32");
      if (allowed == null) continue;
      Array found = operation.compute(c.get("inputs"), mistake);
      List<Json> expected = c.get("expected").get("result").get("data").items();
      worst = Math.max(worst, worstRatio(found, expected, allowed.get("result").items()));
      cases++;
    }
    System.out.printf(Locale.ROOT, "%s %d cases, worst %.3f%n", name, cases, worst);
    return cases == 0 || worst > 1 ? 1 : 0;
  }
}

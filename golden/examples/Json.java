import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A small JSON reader for Java: parse a text, ask for members, items and numbers.
 *
 * It reads, it does not validate. Escapes in strings stay as written; no name or number that the
 * golden vectors need has any.
 */
final class Json {
  private final Map<String, Json> members = new LinkedHashMap<>();
  private final List<Json> items = new ArrayList<>();
  private String text; // of a string, a number, true, false or null

  static Json parse(String text) {
    return new Reader(text).value();
  }

  /** A member of an object; null where there is none, or no object. */
  Json get(String key) {
    return members.get(key);
  }

  List<Json> items() {
    return items;
  }

  /** A number, also one written as "NaN", "Infinity" or "-Infinity". */
  double number() {
    return Double.parseDouble(text);
  }

  private static final class Reader {
    private final String text;
    private int place = 0;

    Reader(String text) {
      this.text = text;
    }

    char peek() {
      while (Character.isWhitespace(text.charAt(place))) place++;
      return text.charAt(place);
    }

    void expect(char wanted) {
      if (peek() != wanted) throw new IllegalArgumentException("unexpected JSON at " + place);
      place++;
    }

    String string() {
      expect('"');
      int start = place;
      for (; text.charAt(place) != '"'; place++) if (text.charAt(place) == '\\') place++;
      return text.substring(start, place++);
    }

    Json value() {
      Json x = new Json();
      char first = peek();
      if (first == '"') {
        x.text = string();
      } else if (first == '{') {
        for (place++; peek() != '}'; ) {
          if (!x.members.isEmpty()) expect(',');
          String key = string();
          expect(':');
          x.members.put(key, value());
        }
        place++;
      } else if (first == '[') {
        for (place++; peek() != ']'; ) {
          if (!x.items.isEmpty()) expect(',');
          x.items.add(value());
        }
        place++;
      } else {
        int start = place;
        while (",]} \t\r\n".indexOf(text.charAt(place)) < 0) place++;
        x.text = text.substring(start, place);
      }
      return x;
    }
  }
}

// A small JSON reader for Rust: parse a text, ask for members, items and numbers.
//
// It reads, it does not validate. Escapes in strings stay as written; no name or number that the
// golden vectors need has any.

pub enum Json {
    Object(Vec<(String, Json)>),
    List(Vec<Json>),
    Text(String), // of a string, a number, true, false or null
}

impl Json {
    pub fn parse(text: &str) -> Json {
        value(&mut text.trim_start())
    }

    /// A member of an object; none where there is none, or no object.
    pub fn get(&self, key: &str) -> Option<&Json> {
        let Json::Object(members) = self else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub fn items(&self) -> &[Json] {
        if let Json::List(items) = self { items } else { &[] }
    }

    /// A number, also one written as "NaN", "Infinity" or "-Infinity".
    pub fn number(&self) -> f64 {
        let Json::Text(text) = self else { panic!("expected a number") };
        text.parse().expect("a number")
    }
}

/// Whether the text goes on with a character, which is then skipped, and white space after it.
fn skip(text: &mut &str, wanted: char) -> bool {
    let rest = text.strip_prefix(wanted);
    *text = rest.map_or(*text, str::trim_start);
    rest.is_some()
}

/// Everything before a place, then on from there.
fn take(text: &mut &str, end: Option<usize>) -> String {
    let (taken, rest) = text.split_at(end.expect("JSON ends too early"));
    *text = rest.trim_start();
    taken.to_string()
}

fn string(text: &mut &str) -> String {
    assert!(text.starts_with('"'), "expected a string");
    *text = &text[1..];
    let mut escaped = false;
    let end = text.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    let taken = take(text, end);
    skip(text, '"');
    taken
}

fn value(text: &mut &str) -> Json {
    if skip(text, '{') {
        let mut members = Vec::new();
        while !skip(text, '}') {
            assert!(members.is_empty() || skip(text, ','), "expected a comma");
            let key = string(text);
            assert!(skip(text, ':'), "expected a colon");
            members.push((key, value(text)));
        }
        Json::Object(members)
    } else if skip(text, '[') {
        let mut items = Vec::new();
        while !skip(text, ']') {
            assert!(items.is_empty() || skip(text, ','), "expected a comma");
            items.push(value(text));
        }
        Json::List(items)
    } else if text.starts_with('"') {
        Json::Text(string(text))
    } else {
        let end = text.find(|c: char| c.is_whitespace() || ",]}".contains(c));
        Json::Text(take(text, end))
    }
}

// Reads golden vectors in Rust: arrays of f32, and the check of the operations' files.
pub use crate::json::Json;

/// Numbers in C order; a scalar has no axes.
pub struct Array {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// A file such as "clip/clip_loss" and what computes its result from a case's inputs.
pub type Operation = (&'static str, fn(&Json, bool) -> Array);

pub fn zeros(shape: &[usize]) -> Array {
    Array { shape: shape.to_vec(), data: vec![0.0; shape.iter().product()] }
}

pub fn scalar(number: f32) -> Array {
    Array { shape: vec![], data: vec![number] }
}

fn numbers(list: Option<&Json>) -> impl Iterator<Item = f64> + '_ {
    list.expect("a list of numbers").items().iter().map(Json::number)
}

/// An input as f32, or none for null; integers are times, which f32 holds exactly.
pub fn optional(inputs: &Json, name: &str) -> Option<Array> {
    let entry = inputs.get(name)?;
    let data = numbers(Some(entry.get("data")?)).map(|x| x as f32).collect();
    Some(Array { shape: numbers(entry.get("shape")).map(|n| n as usize).collect(), data })
}

pub fn input<const K: usize>(inputs: &Json, names: [&str; K]) -> [Array; K] {
    names.map(|name| optional(inputs, name).expect(name))
}

/// The number that x, broadcast to a shape, has at the flat index i.
pub fn at(x: &Array, shape: &[usize], mut i: usize) -> f32 {
    let (mut place, mut stride) = (0, 1);
    for (&size, &wide) in x.shape.iter().rev().zip(shape.iter().rev()) {
        if size > 1 {
            place += i % wide * stride;
        }
        stride *= size;
        i /= wide;
    }
    x.data[place]
}

/// The largest |found - expected| / allowed; infinite where a number is missing or not finite.
fn worst_ratio(found: &Array, expected: &Json, allowed: &Json) -> f64 {
    let same_size = expected.items().len() == found.data.len();
    let mut worst = if same_size { 0.0 } else { f64::INFINITY };
    let wanted = numbers(Some(expected)).zip(numbers(Some(allowed)));
    for (&number, (wanted, allowed)) in found.data.iter().zip(wanted) {
        let error = (number as f64 - wanted).abs();
        let ratio = if number as f64 == wanted { 0.0 } else { error / allowed };
        worst = f64::max(worst, if ratio.is_nan() { f64::INFINITY } else { ratio });
    }
    worst
}

/// Checks all float32 cases of some files, then exits, with 1 if one is wrong.
/// The program's words are GOLDEN_FOLDER [--mistake NAME].
pub fn check(operations: &[Operation]) {
    let words: Vec<String> = std::env::args().collect();
    let mut failed = false;
    for (file, compute) in operations {
        let name = file.rsplit('/').next().unwrap();
        let mistake = words.len() == 4 && words[3] == name;
        let path = format!("{}/{}.json", words[1], file);
        let text = std::fs::read_to_string(&path).expect(&path);
        let (mut cases, mut worst) = (0, 0.0);
        for case in Json::parse(&text).get("cases").expect("cases").items() {
            let member = |key: &str, name: &str| case.get(key)?.get(name);
            let Some(allowed) = member("allowed", "float32") else { continue };
            let found = compute(case.get("inputs").expect("inputs"), mistake);
            let expected = member("expected", "result").and_then(|result| result.get("data"));
            let allowed = allowed.get("result").expect("allowed");
            worst = f64::max(worst, worst_ratio(&found, expected.expect("expected"), allowed));
            cases += 1;
        }
        println!("{name} {cases} cases, worst {worst:.3}");
        failed |= cases == 0 || worst > 1.0;
    }
    std::process::exit(failed as i32)
}

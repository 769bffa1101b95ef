// Reads golden vectors in JavaScript: arrays of float32, and the check of an operation's file.
import { readFileSync } from "node:fs";

// An array has numbers in C order, rounded to float32; a scalar has no axes. Null stays null.
const array = (x) => x && { shape: x.shape, data: Float32Array.from(x.data, Number) };

export const zeros = (...shape) => ({
  shape,
  data: new Float32Array(shape.reduce((size, n) => size * n, 1)),
});

// The number that x, broadcast to a shape, has at the flat index i; 0 for null.
export function at(x, shape, i) {
  let place = 0, stride = 1;
  if (!x) return 0;
  for (let last = 1; last <= x.shape.length; last++) { // from the last axis to the first
    const size = x.shape.at(-last), wide = shape.at(-last);
    if (size > 1) place += (i % wide) * stride;
    stride *= size;
    i = Math.floor(i / wide);
  }
  return x.data[place];
}

// The largest |found - expected| / allowed; infinite where a number is missing or not finite.
function worst_ratio(found, expected, allowed) {
  let worst = expected.length === found.length ? 0 : Infinity;
  expected.map(Number).forEach((wanted, i) => {
    const ratio = found[i] === wanted ? 0 : Math.abs(found[i] - wanted) / Number(allowed[i]);
    worst = Math.max(worst, Number.isNaN(ratio) ? Infinity : ratio);
  });
  return worst;
}

// Checks all float32 cases of some files such as "clip/clip_loss", then exits, with 1 if one is
// wrong. The program's words are GOLDEN_FOLDER [--mistake NAME].
export function check(operations) {
  const [folder, , planted] = process.argv.slice(2);
  let failed = false;
  for (const [file, compute] of Object.entries(operations)) {
    const name = file.split("/")[1];
    const { cases } = JSON.parse(readFileSync(`${folder}/${file}.json`, "utf8"));
    const ratios = cases.filter((c) => c.allowed.float32).map(({ inputs, expected, allowed }) => {
      const arrays = Object.entries(inputs).map(([key, x]) => [key, array(x)]);
      const found = compute(Object.fromEntries(arrays), name === planted);
      return worst_ratio(found.data, expected.result.data, allowed.float32.result);
    });
    const worst = Math.max(0, ...ratios);
    console.log(`${name} ${ratios.length} cases, worst ${worst.toFixed(3)}`);
    failed ||= ratios.length === 0 || worst > 1;
  }
  process.exitCode = failed ? 1 : 0;
}

import { assertEquals } from "@std/assert";
import {
  EntropyHealth,
  PROPORTION_CUTOFF,
  PROPORTION_WINDOW,
  REPETITION_CUTOFF,
} from "./health.ts";

function random(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65536));
  }
  return bytes;
}

/** Bytes without two equal ones in a row, and each as rare as can be. */
function counting(length: number, first = 0): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => first + i);
}

/** The least k for which so many of `trials`, each with probability `p`, are exceeded less than once in 1/α times. */
function critbinom(trials: number, p: number, alpha: number): number {
  let logTerm = trials * Math.log1p(-p);
  const terms = [Math.exp(logTerm)];
  for (let k = 1; k <= trials; k++) {
    logTerm += Math.log((trials - k + 1) / k) + Math.log(p) - Math.log1p(-p);
    terms.push(Math.exp(logTerm));
  }
  // From the small end, which a sum from the other one would lose.
  let beyond = 0;
  for (let k = trials; k > 0; k--) {
    beyond += terms[k]!;
    if (beyond > alpha) return k;
  }
  return 0;
}

Deno.test("the cutoffs are those of SP 800-90B for 7 bits a byte and one false alarm in 2^40 #random:repetition_count #random:adaptive_proportion", () => {
  assertEquals(REPETITION_CUTOFF, 1 + Math.ceil(40 / 7));
  assertEquals(PROPORTION_CUTOFF, 1 + critbinom(PROPORTION_WINDOW, 2 ** -7, 2 ** -40));
});

Deno.test("EntropyHealth passes four million good bytes, in answers of any length", () => {
  const health = new EntropyHealth();
  const bytes = random(1 << 22);
  for (let at = 0; at < bytes.length;) {
    const length = 1 + bytes[at]! * 32;
    assertEquals(health.test(bytes.subarray(at, at + length)), undefined);
    at += length;
  }
});

Deno.test("EntropyHealth counts repetitions, from one answer to the next as well #random:repetition_count", () => {
  const health = new EntropyHealth();
  const run = new Uint8Array(REPETITION_CUTOFF - 1).fill(7);
  assertEquals(health.test(Uint8Array.of(...run, 8, ...run)), undefined);
  assertEquals(health.test(Uint8Array.of(7)), "repetition count");
  // It begins anew.
  assertEquals(health.test(run), undefined);
  assertEquals(new EntropyHealth().test(new Uint8Array(REPETITION_CUTOFF)), "repetition count");
});

Deno.test("EntropyHealth finds a byte that is too frequent in its window #random:adaptive_proportion", () => {
  const bytes = counting(PROPORTION_WINDOW, 1).map((byte) => byte === 42 ? 43 : byte);
  const frequent = (times: number) => {
    const window = Uint8Array.from(bytes);
    for (let i = 0; i < times; i++) window[i * 3] = 42;
    return window;
  };
  assertEquals(new EntropyHealth().test(frequent(PROPORTION_CUTOFF - 1)), undefined);
  assertEquals(new EntropyHealth().test(frequent(PROPORTION_CUTOFF)), "adaptive proportion");
  // Spread over two windows it is not too frequent, and over two answers it is.
  const health = new EntropyHealth();
  assertEquals(health.test(counting(PROPORTION_WINDOW / 2)), undefined);
  assertEquals(health.test(frequent(PROPORTION_CUTOFF)), undefined);
  const halves = new EntropyHealth();
  const whole = frequent(PROPORTION_CUTOFF);
  assertEquals(halves.test(whole.subarray(0, 40)), undefined);
  assertEquals(halves.test(whole.subarray(40)), "adaptive proportion");
});

Deno.test("EntropyHealth remembers the answers of a while #random:stale_answer", () => {
  const health = new EntropyHealth();
  const answers = Array.from({ length: 64 }, () => random(40));
  for (const answer of answers) assertEquals(health.test(answer), undefined);
  for (const answer of answers) assertEquals(health.test(answer), "earlier answer again");
  const other = Uint8Array.from(answers[0]!);
  other[15]! ^= 1;
  assertEquals(health.test(other), undefined);
  assertEquals(health.test(answers[0]!), undefined, "the oldest is forgotten");
});

/** Bits of entropy that a byte of a source has to have at least: what a device gives is meant to have all 8. */
const ENTROPY_BITS = 7;
/** A good source fails a test once in 2^40 times. */
const FALSE_ALARM_BITS = 40;
/**
 * So many equal bytes in a row are too many (NIST SP 800-90B, 4.4.1): C = 1 + ⌈−log₂ α / H⌉.
 */
export const REPETITION_CUTOFF: number = 1 + Math.ceil(FALSE_ALARM_BITS / ENTROPY_BITS);
/** Bytes of a window (4.4.2). */
export const PROPORTION_WINDOW = 512;
/**
 * A byte that begins a window must not be in it so often (4.4.2): C = 1 + critbinom(W, 2^−H, 1 − α). Its test computes
 * it anew.
 */
export const PROPORTION_CUTOFF = 26;

/** Answers whose beginning is remembered. */
const REMEMBERED = 64;
/** So many bytes of it; less says nothing. */
const BEGINNING = 16;

/** A test that a source can fail. */
export type EntropyTest = "repetition count" | "adaptive proportion" | "earlier answer again";

/**
 * Continuous health tests of a source of random bytes: the two of NIST SP 800-90B, 4.4, and whether an answer was given
 * before. They find what is broken or lies without skill; nothing can prove randomness.
 */
export class EntropyHealth {
  #last = -1;
  #run = 0;
  #sample = -1;
  #count = 0;
  #position = PROPORTION_WINDOW;
  /** Fingerprints of beginnings, two words each: what was given out is not kept. */
  readonly #seen = new Int32Array(2 * REMEMBERED);
  #answers = 0;
  readonly #keys = crypto.getRandomValues(new Int32Array(4));

  /**
   * Tests the bytes of one answer, after those of all before.
   *
   * @returns The test that they fail; undefined if they are good. After a failure the tests begin anew.
   */
  test(bytes: Uint8Array): EntropyTest | undefined {
    const failed = this.#testBytes(bytes) ?? this.#testAnswer(bytes);
    if (failed) {
      this.#last = -1;
      this.#position = PROPORTION_WINDOW;
    }
    return failed;
  }

  #testBytes(bytes: Uint8Array): EntropyTest | undefined {
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!;
      if (byte !== this.#last) {
        this.#last = byte;
        this.#run = 1;
      } else if (++this.#run >= REPETITION_CUTOFF) return "repetition count";

      if (this.#position === PROPORTION_WINDOW) {
        this.#position = 1;
        this.#sample = byte;
        this.#count = 1;
      } else {
        this.#position++;
        if (byte === this.#sample && ++this.#count >= PROPORTION_CUTOFF) {
          return "adaptive proportion";
        }
      }
    }
    return undefined;
  }

  #testAnswer(bytes: Uint8Array): EntropyTest | undefined {
    if (bytes.length < BEGINNING) return undefined;
    let [low, high] = [this.#keys[0]!, this.#keys[1]!];
    for (let i = 0; i < BEGINNING; i++) {
      low = Math.imul(low ^ bytes[i]!, this.#keys[2]! | 1) ^ low >>> 15;
      high = Math.imul(high ^ bytes[i]!, this.#keys[3]! | 1) ^ high >>> 13;
    }
    const seen = this.#seen;
    const known = Math.min(this.#answers, REMEMBERED);
    for (let i = 0; i < known; i++) {
      if (seen[2 * i] === low && seen[2 * i + 1] === high) return "earlier answer again";
    }
    const at = this.#answers++ % REMEMBERED;
    seen[2 * at] = low;
    seen[2 * at + 1] = high;
    return undefined;
  }
}

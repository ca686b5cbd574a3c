import { equal } from "./bytes.ts";
import type { Answer, EchoPath } from "./echo_path.ts";
import type { Link } from "./link.ts";

/** A request's number has 16 bits. */
export const MOST_REQUESTS = 0xffff;

/** How to ping. */
export interface PingOptions {
  /** Requests to send, at most {@linkcode MOST_REQUESTS}. */
  readonly count: number;
  /** Milliseconds from one to the next. */
  readonly interval: number;
  /** Bytes of data in each. */
  readonly size: number;
  /** Milliseconds to wait for answers to the last. */
  readonly wait: number;
}

/** An answer, and when it came. */
export interface PingAnswer extends Answer {
  /** Milliseconds since the request. */
  readonly milliseconds: number;
  /** Whether the request was answered before. */
  readonly duplicate: boolean;
  /** Whether the data is another than was sent. */
  readonly damaged: boolean;
}

/** What came of it. */
export interface PingResult {
  readonly transmitted: number;
  readonly answers: readonly PingAnswer[];
  /** Milliseconds that all of it took. */
  readonly milliseconds: number;
}

/**
 * Sends echo requests, one after the other, and hears what comes back. Ends early, with what it has, when the link's
 * signal is aborted.
 *
 * @param tell Called with each answer.
 */
export async function ping(
  link: Link,
  path: EchoPath,
  { count, interval, size, wait }: PingOptions,
  tell: (answer: PingAnswer) => void,
): Promise<PingResult> {
  const identifier = crypto.getRandomValues(new Uint16Array(1))[0]!;
  const data = Uint8Array.from({ length: size }, (_, i) => i);
  const sent = new Map<number, number>();
  const answers: PingAnswer[] = [];
  const answered = new Set<number>();
  const all = new AbortController();
  using _listening = link.listen((frame) => {
    const answer = path.read(frame);
    const start = answer?.identifier === identifier ? sent.get(answer.sequence) : undefined;
    if (!answer || start === undefined) return;
    const found: PingAnswer = {
      ...answer,
      milliseconds: performance.now() - start,
      duplicate: answered.has(answer.sequence),
      damaged: answer.data !== undefined && !equal(answer.data, data),
    };
    answered.add(answer.sequence);
    answers.push(found);
    tell(found);
    if (answered.size === count) all.abort();
  });
  const begin = performance.now();
  try {
    for (let sequence = 1; sequence <= count; sequence++) {
      sent.set(sequence, performance.now());
      path.send({ identifier, sequence, data });
      if (sequence < count) await link.pause(interval);
      else if (answered.size < count) await link.pause(wait, all.signal);
    }
  } catch (error) {
    if (!link.signal.aborted) throw error;
  }
  return { transmitted: sent.size, answers, milliseconds: performance.now() - begin };
}

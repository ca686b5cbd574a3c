import { delay } from "@std/async";
import type { Context } from "../command.ts";
import type { Source, Target } from "./ends.ts";
import { Progress } from "../progress.ts";

/** Bytes that are moved at a time. */
const PIECE = 1 << 20;
/** Pieces that are written at the same time. */
const DEPTH = 4;
/** Files answer at once: so long the rest of the program waits for its turn, in milliseconds. */
const TURN = 50;

/** What was moved. */
export interface Transferred {
  /** Bytes. */
  readonly bytes: number;
  /** Their SHA-256. */
  readonly sha256: string;
  /** How long it took. */
  readonly milliseconds: number;
}

/**
 * Moves bytes, reading ahead and writing behind.
 *
 * @param target Undefined to only look at them.
 * @throws The reason of `context.signal`, when it aborts; what was begun has ended then.
 */
export async function transfer(
  context: Pick<Context, "io" | "options" | "signal">,
  what: string,
  source: Source,
  target?: Target,
): Promise<Transferred> {
  const { signal } = context;
  // Loaded where it is used: each start of the program would wait for it.
  const { createHash } = await import("node:crypto");
  const start = performance.now();
  const sum = createHash("sha256");
  const progress = new Progress(context, what, source.length);
  const writing: Promise<void>[] = [];
  const read = async (at: number) => {
    const piece = new Uint8Array(PIECE);
    return piece.subarray(0, await source.read(at, piece));
  };
  let bytes = 0;
  let turn = start;
  let next = read(0);
  try {
    for (;;) {
      const piece = await next;
      signal.throwIfAborted();
      if (performance.now() - turn > TURN) {
        await delay(0);
        signal.throwIfAborted();
        turn = performance.now();
      }
      const last = piece.length < PIECE;
      if (!last) next = read(bytes + PIECE);
      // The next wait throws its error; until then it is no unhandled rejection.
      next.catch(() => {});
      sum.update(piece);
      if (target && piece.length > 0) {
        const write = target.write(bytes, piece);
        write.catch(() => {});
        writing.push(write);
        if (writing.length > DEPTH) await writing.shift();
      }
      bytes += piece.length;
      progress.show(bytes);
      if (last) break;
    }
    for (const write of writing) await write;
    await target?.finish();
  } finally {
    await Promise.allSettled([next, ...writing]);
    progress.hide();
  }
  return { bytes, sha256: sum.digest("hex"), milliseconds: performance.now() - start };
}

import { assert, assertEquals } from "@std/assert";
import { Bell, BELL_WORDS, Cause } from "./bell.ts";

function bell(wake: () => void = () => {}) {
  const words = new Int32Array(new SharedArrayBuffer(4 * BELL_WORDS));
  return { words, bell: new Bell(words, 0, wake) };
}

Deno.test("a bell gathers causes until they are taken", () => {
  const { bell: one } = bell();
  assertEquals(one.take(), 0);
  one.ring(Cause.mail);
  one.ring(Cause.beat);
  one.ring(Cause.mail);
  assertEquals(one.take(), Cause.mail | Cause.beat);
  assertEquals(one.take(), 0);
});

Deno.test("a bell wakes its owner once, and only while it sleeps", () => {
  let woken = 0;
  const { bell: one } = bell(() => woken++);
  one.ring(Cause.lane);
  assertEquals(woken, 0);
  assert(!one.sleep(), "there is something to do");
  one.ring(Cause.mail);
  assertEquals(woken, 0);
  one.take();
  assert(one.sleep());
  one.ring(Cause.lane);
  one.ring(Cause.lane);
  assertEquals(woken, 1);
  one.take();
  assert(one.sleep());
  one.awake();
  one.ring(Cause.lane);
  assertEquals(woken, 1);
});

Deno.test("a bell leaves the words beside it alone", () => {
  const words = new Int32Array(new SharedArrayBuffer(32)).fill(-1);
  words.fill(0, 3, 3 + BELL_WORDS);
  const one = new Bell(words, 3, () => {});
  one.sleep();
  one.ring(Cause.credits);
  assertEquals([...words], [-1, -1, -1, Cause.credits, 0, -1, -1, -1]);
});

// The steps of both sides, each one access to shared memory, to try all their orders. They are those of Bell; the
// test after the next one holds them against it.
interface State {
  causes: number;
  sleeping: number;
  /** The eventfd. */
  woken: boolean;
  /** Where each ringer stands, and what it has seen. */
  readonly ringers: { step: number; work: number }[];
  /** Where the owner stands. */
  owner: "look" | "sleep" | "check" | "retreat" | "blocked" | "awake";
  done: number;
}

/** Each state that one more step of the owner or a ringer may lead to. */
function* next(state: State): Generator<State> {
  for (const i of state.ringers.keys()) {
    const after = structuredClone(state);
    const ringer = after.ringers[i]!;
    if (ringer.work === 0) continue;
    if (ringer.step === 0) {
      after.causes = 1;
      ringer.step = 1;
    } else if (ringer.step === 1) {
      ringer.step = after.sleeping ? 2 : 0;
      if (!after.sleeping) ringer.work--;
    } else {
      if (after.sleeping) {
        after.sleeping = 0;
        after.woken = true;
      }
      ringer.step = 0;
      ringer.work--;
    }
    yield after;
  }
  const after = structuredClone(state);
  switch (after.owner) {
    case "look":
      if (after.causes) after.done++;
      after.causes = 0;
      after.owner = "sleep";
      break;
    case "sleep":
      after.sleeping = 1;
      after.owner = "check";
      break;
    case "check":
      after.owner = after.causes ? "retreat" : "blocked";
      break;
    case "retreat":
      after.sleeping = 0;
      after.owner = "look";
      break;
    case "blocked":
      if (!after.woken) return;
      after.woken = false;
      after.owner = "awake";
      break;
    case "awake":
      after.sleeping = 0;
      after.owner = "look";
  }
  yield after;
}

Deno.test("a bell loses no wake-up in any order of the steps of its owner and two ringers", () => {
  const first: State = {
    causes: 0,
    sleeping: 0,
    woken: false,
    ringers: [{ step: 0, work: 3 }, { step: 0, work: 2 }],
    owner: "look",
    done: 0,
  };
  const seen = new Set<string>();
  const open = [first];
  for (let state = open.pop(); state; state = open.pop()) {
    const key = JSON.stringify({ ...state, done: 0 });
    if (seen.has(key)) continue;
    seen.add(key);
    const after = [...next(state)];
    if (after.length === 0) assertEquals(state.causes, 0, "the owner sleeps and there is work");
    open.push(...after);
  }
  assert(seen.size > 100);
});

Deno.test("a bell makes the accesses that were tried in all orders", () => {
  const steps: string[] = [];
  const { words } = bell();
  const watched = new Bell(words, 0, () => steps.push("wake"));
  const original = { ...pick() };
  const name = (index: number) => index === 0 ? "causes" : "sleeping";
  for (const operation of ["load", "store", "or", "exchange"] as const) {
    const plain = original[operation] as (
      array: Int32Array,
      index: number,
      value: number,
    ) => number;
    Object.assign(Atomics, {
      [operation]: (array: Int32Array, index: number, value: number) => {
        steps.push(`${operation} ${name(index)}`);
        return plain(array, index, value);
      },
    });
  }
  const said = (act: () => void) => {
    steps.length = 0;
    act();
    return steps.join(", ");
  };
  try {
    assertEquals(said(() => watched.sleep()), "store sleeping, load causes");
    assertEquals(
      said(() => watched.ring(1)),
      "or causes, load sleeping, exchange sleeping, wake",
    );
    assertEquals(said(() => watched.ring(1)), "or causes, load sleeping");
    assertEquals(said(() => watched.sleep()), "store sleeping, load causes, store sleeping");
    assertEquals(said(() => watched.take()), "load causes, exchange causes");
  } finally {
    Object.assign(Atomics, original);
  }
});

function pick() {
  const { load, store, or, exchange } = Atomics;
  return { load, store, or, exchange };
}

/** Rings as the real one does, `count` times, and waits in between until the owner has answered each. */
const RINGER = `
  onmessage = ({ data: { words, count, module } }) => {
    import(module).then(({ Bell }) => {
      const bell = new Bell(words, 0, () => {
        Atomics.add(words, 2, 1);
        Atomics.notify(words, 2);
      });
      for (let i = 1; i <= count; i++) {
        Atomics.store(words, 3, i);
        bell.ring(1);
        while (Atomics.load(words, 4) !== i) ;
      }
      postMessage("done");
    });
  };
`;

Deno.test("a bell loses no wake-up between two threads", async () => {
  const words = new Int32Array(new SharedArrayBuffer(64));
  const count = 20_000;
  const url = URL.createObjectURL(new Blob([RINGER], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" });
  const done = new Promise((resolve) => worker.onmessage = resolve);
  worker.postMessage({ words, count, module: import.meta.resolve("./bell.ts") });
  const owner = new Bell(words, 0, () => {});
  let slept = 0;
  for (;;) {
    // Everything that was asked is answered whenever the bell says so, and never otherwise.
    if (owner.take() !== 0) {
      const asked = Atomics.load(words, 3);
      Atomics.store(words, 4, asked);
      if (asked === count) break;
      continue;
    }
    const woken = Atomics.load(words, 2);
    if (!owner.sleep()) continue;
    slept++;
    assert(Atomics.wait(words, 2, woken, 5000) !== "timed-out", "a wake-up was lost");
    owner.awake();
  }
  await done;
  worker.terminate();
  URL.revokeObjectURL(url);
  assert(slept > 0);
});

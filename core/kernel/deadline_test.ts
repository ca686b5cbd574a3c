import { assertEquals } from "@std/assert";
import { Deadline } from "./deadline.ts";

/** A lane with requests that were submitted, the first ones of which have ended. */
function lane() {
  const state = { submitted: 0, ended: 0 };
  return {
    state,
    get submissions() {
      return state.submitted;
    },
    oldest: () => state.ended < state.submitted ? state.ended : Infinity,
  };
}

/** Looks every 250 ms, and tells when the deadline had passed. */
function looks(deadline: Deadline, from: number, to: number): number[] {
  const passed: number[] = [];
  for (let now = from; now <= to; now += 250) if (deadline.passed(now)) passed.push(now);
  return passed;
}

Deno.test("a request that never ends passes its deadline, and not before", () => {
  const requests = lane();
  const deadline = new Deadline(requests, 1000);
  requests.state.submitted = 1;
  assertEquals(looks(deadline, 0, 1500), [1000, 1250, 1500]);
});

Deno.test("a request passes its deadline although others end all the time", () => {
  const requests = lane();
  const deadline = new Deadline({ ...requests, submissions: 5, oldest: () => 4 }, 1000);
  assertEquals(looks(deadline, 0, 1000), [1000]);
});

Deno.test("requests that end in time never pass it, however many there are", () => {
  const requests = lane();
  const deadline = new Deadline(requests, 1000);
  for (let now = 0; now < 60_000; now += 250) {
    requests.state.submitted += 10;
    requests.state.ended = Math.max(0, requests.state.submitted - 35);
    assertEquals(deadline.passed(now), false);
  }
});

Deno.test("a lane without a deadline waits for ever, and an empty one is never late", () => {
  const requests = lane();
  requests.state.submitted = 1;
  assertEquals(looks(new Deadline(requests, 0), 0, 1_000_000), []);
  assertEquals(looks(new Deadline(lane(), 1000), 0, 10_000), []);
});

Deno.test("a program that was stopped blames no device for that time #core:stopped", () => {
  const requests = lane();
  requests.state.submitted = 1;
  const deadline = new Deadline(requests, 3000);
  assertEquals(looks(deadline, 0, 1000), []);
  // Stopped for a minute, of which a quarter of the deadline counts.
  assertEquals(looks(deadline, 61_000, 63_000), [62_250, 62_500, 62_750, 63_000]);
});

Deno.test("a request is late where several looks have seen it, however long this program stands still between them #core:stopped", () => {
  const requests = lane();
  requests.state.submitted = 1;
  const deadline = new Deadline(requests, 300);
  assertEquals([0, 5000, 10_000, 15_000].map((now) => deadline.passed(now)), Array(4).fill(false));
  assertEquals(deadline.passed(20_000), true);
});

Deno.test("restart() gives requests in flight their time again", () => {
  const requests = lane();
  requests.state.submitted = 1;
  const deadline = new Deadline(requests, 1000);
  assertEquals(looks(deadline, 0, 1000), [1000]);
  deadline.restart();
  assertEquals(looks(deadline, 1250, 2250), [2250]);
});

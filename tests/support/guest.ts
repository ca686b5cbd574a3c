/**
 * Declares tests that run in a Linux guest.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { GuestRunner } from "../../tools/guest/boot.ts";
import { GuestLost } from "../../tools/guest/guest.ts";
import { Unavailable } from "../../tools/packages.ts";
import type { Said } from "../../tools/guest/report.ts";
import type { TestMachine } from "../guest/machines.ts";
import { withoutQemu } from "./machine.ts";
import { testWith } from "./needs.ts";

/** How many of a guest's last lines a failure shows. */
const LAST_LINES = 60;

/** What runs before the first job. */
const NO_JOB = "no job";

/** The runner of all guests, or why there can be none. */
const found = withoutQemu ?? await GuestRunner.open().catch((error) => {
  if (error instanceof Unavailable) return error.message;
  throw error;
});
const runner = typeof found === "string" ? undefined : found;
const without = typeof found === "string" ? found : undefined;

Deno.test.afterAll(() => runner?.[Symbol.asyncDispose]());

/**
 * Declares a test of all jobs of a machine; ignored, and its name says why, where no guest can be had. Where KVM loses a
 * guest it is run once more, translated, and so are those after it.
 */
export function guestTest(machine: TestMachine): void {
  const obstacle = without && `no guest: ${without}`;
  testWith(obstacle, `guest ${machine.name}`, async (t) => {
    try {
      await runJobs(t, runner!, machine);
    } catch (error) {
      if (!(error instanceof GuestLost) || runner!.accelerator === "tcg") throw error;
      const [why] = error.message.split("\n");
      console.log(`skipped: guest ${machine.name} by KVM, it is translated instead: ${why}`);
      await t.step({ name: `by KVM (${why})`, ignore: true, fn() {} });
      runner!.accelerator = "tcg";
      await runJobs(t, runner!, machine);
    }
  });
}

/** Makes a step of each check that a job reports, and some for each job as a whole. */
async function runJobs(
  t: Deno.TestContext,
  runner: GuestRunner,
  machine: TestMachine,
): Promise<void> {
  const last: string[] = [];
  const ended: string[] = [];
  /** By disk and place: a job may write where one before it did. */
  const disks = new Map<string, Extract<Said, { kind: "disk" }>>();
  let job = NO_JOB, checks = 0, provoked = false, kernel: string[] = [];
  try {
    for await (const [line, said] of runner.boot(machine, machine.jobs)) {
      last.push(line);
      if (last.length > LAST_LINES) last.shift();
      switch (said.kind) {
        case "job":
          job = said.name;
          checks = 0;
          provoked = false;
          kernel = [];
          break;
        case "check":
          checks++;
          await t.step(`${job}: ${said.name}`, () => {
            if (!said.passed) throw new Error(said.detail);
          });
          break;
        case "disk":
          disks.set(`${said.id} at ${said.offset}`, said);
          break;
        case "provoke":
          provoked = true;
          break;
        case "kernel":
          kernel.push(said.text);
          break;
        case "end":
          ended.push(job);
          await t.step(`${job}: ends, and the guest's kernel has nothing to complain about`, () => {
            const isFault = (text: string) => /DMAR:.*fault/.test(text);
            assertEquals(kernel.filter((text) => !(provoked && isFault(text))), []);
            assertEquals(kernel.some(isFault), provoked, "the IOMMU stopped something");
            if (said.status !== 0) {
              throw new Error(`exit status ${said.status}\n${last.join("\n")}`);
            }
            if (checks === 0) throw new Error("it checked nothing");
          });
      }
    }
  } catch (error) {
    const { message } = error as Error;
    const text = `${message}\n${job}, whose last lines were:\n${last.join("\n")}`;
    // What a job breaks, it breaks translated, too; it is not KVM's.
    const own = error instanceof GuestLost && error.reset && job !== NO_JOB;
    if (error instanceof GuestLost && !own) throw new GuestLost(text, error.reset);
    throw new Error(text, { cause: error });
  }
  assertEquals(ended, machine.jobs, last.join("\n"));
  for (const [place, { id, offset, length, sha256 }] of disks) {
    await t.step(`disk ${place} holds what was written, seen from outside`, async () => {
      const image = await Deno.readFile(runner.disk(id));
      const part = image.slice(offset, offset + length);
      const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", part)).toHex();
      assertEquals(hash, sha256, `${length} bytes at ${offset}`);
    });
  }
}

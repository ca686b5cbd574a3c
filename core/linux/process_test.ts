import { assert, assertEquals, assertThrows } from "@std/assert";
import { close, eventfd, pipe, read } from "./fd.ts";
import { open } from "./file.ts";
import { libc } from "./libc.ts";
import { OsError } from "./os_error.ts";
import { poll, POLLIN } from "./poll.ts";
import { type Exit, kill, processId, reap, SIGKILL, spawn } from "./process.ts";

const SIGUSR2 = 12;

// Opened once for the whole process, so not by a test.
libc();

interface Run {
  readonly args: readonly string[];
  readonly path?: string;
  readonly environment?: Record<string, string>;
  /** Descriptors behind the three standard ones. */
  readonly more?: readonly number[];
}

/** Runs a program until it ends: how it ended, and what it printed. */
function run(
  { path = "/bin/sh", args, environment = {}, more = [] }: Run,
): { exit: Exit; output: string } {
  const [from, into] = pipe();
  const nothing = open("/dev/null", 0);
  const child = spawn({ path, args, environment, descriptors: [nothing, into, into, ...more] });
  close(into);
  close(nothing);
  const exit = end(child);
  const bytes = new Uint8Array(65536);
  const length = read(from, bytes);
  close(from);
  return { exit, output: new TextDecoder().decode(bytes.subarray(0, Math.max(0, length))) };
}

function end({ pid, pidfd }: { pid: number; pidfd: number }): Exit {
  assertEquals(poll(Int32Array.of(pidfd, POLLIN), 1, 10_000), 1, "it does not end");
  const exit = reap(pid);
  close(pidfd);
  assert(exit);
  return exit;
}

Deno.test("a program gets its arguments and says how it ended", () => {
  const { exit, output } = run({ args: ["-c", 'echo "$0|$1|$#"; exit 7', "a b", "", "é"] });
  assertEquals([exit, output], [{ code: 7 }, "a b||2\n"]);
  assertEquals(run({ args: ["-c", "exit 0"] }).exit, { code: 0 });
  assertEquals(run({ args: ["-c", "exit 255"] }).exit, { code: 255 });
});

Deno.test("a program gets the environment that was named, and no other", () => {
  const environment = { ONE: "1", TWO: "a=b c", EMPTY: "" };
  const { output } = run({ path: "/usr/bin/env", args: [], environment });
  assertEquals(output.trim().split("\n").sort(), ["EMPTY=", "ONE=1", "TWO=a=b c"]);
  assertEquals(run({ path: "/usr/bin/env", args: [] }).output, "");
});

Deno.test("a program gets the descriptors that were named, in their order, and no others", () => {
  // As if the parent of this process had left it one that is not closed on exec.
  const F_SETFD = 2;
  const inherited = eventfd();
  libc().fcntl(inherited, F_SETFD, 0);
  const extra = [eventfd(), eventfd()];
  const many = Array.from({ length: 80 }, (_, i) => extra[i % 2]!);
  for (const more of [[], extra, many]) {
    const { output } = run({ path: "/bin/ls", args: ["/proc/self/fd"], more });
    // The last one is that of the folder that is being listed.
    const wanted = Array.from({ length: 4 + more.length }, (_, i) => i);
    assertEquals(output.trim().split("\n").map(Number).toSorted((a, b) => a - b), wanted);
  }
  const { output } = run({
    args: ["-c", "readlink /proc/self/fd/3; readlink /proc/self/fd/0"],
    more: extra,
  });
  assertEquals(output, "anon_inode:[eventfd]\n/dev/null\n");
  [inherited, ...extra].forEach(close);
});

Deno.test("descriptors may be passed in any order, more than once", () => {
  const [from, into] = pipe();
  const child = spawn({
    path: "/bin/sh",
    args: ["-c", "echo one; echo two >&2; echo three >&3"],
    environment: {},
    descriptors: [from, into, into, into],
  });
  assertEquals(end(child), { code: 0 });
  const bytes = new Uint8Array(100);
  assertEquals(new TextDecoder().decode(bytes.subarray(0, read(from, bytes))), "one\ntwo\nthree\n");
  close(from);
  close(into);
});

Deno.test("a program ignores no signal, and those that end programs do not reach it #core:own_group", () => {
  const grep = ["-E", "^Sig(Blk|Ign)", "/proc/self/status"];
  // Hangup 1, interrupt 2, quit 3, terminate 15; and as it becomes another program.
  const wanted = ["4007", "0"].map((set) => set.padStart(16, "0"));
  for (const args of [grep, ["/bin/grep", ...grep]]) {
    const path = args === grep ? "/bin/grep" : "/usr/bin/env";
    assertEquals(run({ path, args }).output.match(/[0-9a-f]{16}/g), wanted);
  }
  const child = spawn({ path: "/bin/sleep", args: ["100"], environment: {}, descriptors: [] });
  for (const signal of [1, 2, 3, 15]) kill(child.pid, signal);
  assertEquals(poll(Int32Array.of(child.pidfd, POLLIN), 1, 100), 0, "it has ended");
  kill(child.pid, SIGKILL);
  assertEquals(end(child), { signal: SIGKILL });
});

Deno.test("a program has a process group of its own #core:own_group", () => {
  const { output } = run({ args: ["-c", "cut -d' ' -f1,5 /proc/$$/stat"] });
  const [pid, group] = output.trim().split(" ");
  assertEquals(pid, group);
});

for (const signal of [SIGUSR2, SIGKILL]) {
  Deno.test(`a program is ended by signal ${signal}`, () => {
    const [from, into] = pipe();
    const child = spawn({
      path: "/bin/sh",
      args: ["-c", "sleep 100"],
      environment: {},
      descriptors: [from, into, into],
    });
    assertEquals(reap(child.pid), undefined);
    assertEquals(poll(Int32Array.of(child.pidfd, POLLIN), 1, 0), 0);
    kill(child.pid, signal);
    assertEquals(end(child), { signal });
    close(from);
    close(into);
  });
}

Deno.test("a program that is not there is an error, and leaves nothing behind", () => {
  const count = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const before = count();
  const start = () =>
    spawn({ path: "/nonexistent", args: [], environment: {}, descriptors: [0, 1] });
  assertEquals(assertThrows(start, OsError, "Cannot start /nonexistent").code, "ENOENT");
  const bad = () => spawn({ path: "/bin/true", args: [], environment: {}, descriptors: [9999] });
  assertEquals(assertThrows(bad, OsError, "a file that was closed").code, "EBADF");
  assertThrows(
    () => spawn({ path: "/bin/true", args: ["a\0b"], environment: {}, descriptors: [] }),
    TypeError,
  );
  assertEquals(count(), before);
});

Deno.test("a descriptor that is none leaves no copy of the others behind", () => {
  const count = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const before = count();
  const start = () =>
    spawn({ path: "/bin/true", args: [], environment: {}, descriptors: [0, 1, 9999] });
  assertThrows(start, OsError, "a file that was closed");
  assertEquals(count(), before);
});

Deno.test("only a child can be waited for", () => {
  assertEquals(assertThrows(() => reap(1), OsError).code, "ECHILD");
  assertEquals(processId(), Deno.pid);
});

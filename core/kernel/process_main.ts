/**
 * The main module of a driver's process. It maps what was granted and loads the plugin, with leave to read the plugin's
 * folder and the core's. When all modules are there and before the first of them is evaluated, the process is shut in
 * and every permission given up; then the plugin is evaluated, and served.
 *
 * @module
 */

import { Bell, Cause } from "../bus/bell.ts";
import { ControlWord, FIRST_BEAT, MAILBOX_CAPACITY, TO_CORE, TO_DRIVER } from "../bus/control.ts";
import { Mailbox } from "../bus/mailbox.ts";
import { askedRegisters } from "../bus/register_call.ts";
import { doorbellWriter } from "../bus/written_doorbells.ts";
import { confine, enclose } from "../linux/confine.ts";
import { mapDevice } from "../linux/device_memory.ts";
import { monotonicClock } from "../linux/clock.ts";
import { clearer, close, signaller } from "../linux/fd.ts";
import type { Pass } from "../linux/filter.ts";
import { forgetLibc } from "../linux/libc.ts";
import { mapShared } from "../linux/memory.ts";
import { poller, yielder } from "../linux/poll.ts";
import { InterruptLoop } from "../irq/interrupt_loop.ts";
import { mappedRegisters } from "../pci/mapped_registers.ts";
import type { Registers } from "../pci/registers.ts";
import { HOST } from "../plugin/plugin.ts";
import { beforePlugin } from "./before_plugin.ts";
import { type Boot, Descriptor, fromWire } from "./boot.ts";
import { Doorbells } from "./doorbell.ts";
import type { AnyPlugin } from "../plugin/pci_plugin.ts";
import { TraceWriter } from "../trace/ring.ts";
import { DriverSession } from "./driver_session.ts";

/** A device that answers at once is not worth a sleep: so often it is looked at before, at most and at least. */
const SPINS = 2000, FEWEST = 8;
/** A sleep that was shorter shows that more looks would have saved it; a longer one, that fewer will do. Milliseconds. */
const NAP_MS = 0.2;
/** After so many in vain another may have the processor, so that a client that waits for this one gets it at once. */
const LOOKS = 8;
/** Under load, interrupts and the like are looked for after so many rounds of that. */
const ROUNDS = 16;
/** What the core does not ring for often, and waits for. */
const URGENT = Cause.mail | Cause.beat;
/** When it is time to sleep between looks for what the core does, in milliseconds. */
const SPIN_MS = 100;

/** The folder of the core's own modules. */
const CORE = new URL("../", import.meta.url).href;

const entry = Deno.args[0]!;
const boot: Boot = JSON.parse(Deno.args[1]!);
confine({ parent: boot.core, memory: boot.memory, descriptors: 256 });

const control = mapShared(Descriptor.control, 0, boot.controlSize);
const arena = mapShared(
  Descriptor.arena,
  boot.arenaOffset,
  boot.arenaSize,
  boot.arenaAlignment,
);
close(Descriptor.control);
close(Descriptor.arena);
const words = new Int32Array(control);
const pass = crypto.getRandomValues(new Uint32Array(2)) as unknown as Pass;
const driverBell = new Bell(words, ControlWord.driverBell, signaller(Descriptor.driverBell, pass));
const coreBell = new Bell(words, ControlWord.coreBell, signaller(Descriptor.coreBell, pass));
let session: DriverSession | undefined;
const loop = new InterruptLoop();
for (let i = 0; i < boot.vectors; i++) {
  const clear = clearer(Descriptor.vectors + i, pass);
  loop.add(Descriptor.vectors + i, () => {
    clear();
    // What comes before has its answer when the driver starts: it looks then.
    session?.interrupted(i);
  });
}
loop.addBell(driverBell, Descriptor.driverBell, (causes) => {
  if (causes & Cause.mail) session?.mail();
  if (causes & Cause.beat) {
    Atomics.store(words, ControlWord.beatAnswered, Atomics.load(words, ControlWord.beatAsked));
  }
}, clearer(Descriptor.driverBell, pass));
const yieldProcessor = yielder();
const nap = poller(new Int32Array(0));
const { rings } = new Doorbells(boot.doorbells.map(fromWire), {
  words,
  low: () => coreBell.ring(Cause.credits),
  wait: waitForCredits,
}, pass);
const registers: Record<string, Registers> = askedRegisters(boot.registers, {
  words,
  ring: () => coreBell.ring(Cause.register),
  wait: waitFor,
});
/** What is told, if it is to be; its clock is compared while the C library is there. */
const trace = boot.trace === undefined
  ? undefined
  : new TraceWriter(control, boot.trace, monotonicClock());
/** How often the driver has read registers that are mapped. */
let reads = 0;
for (const { name, bytes, pages, doorbells } of boot.registers) {
  if (pages) {
    const { buffer } = mapDevice(pages.fd, pages.page, pages.bytes);
    registers[name] = counted(mappedRegisters(buffer, bytes));
  } else if (doorbells) {
    const write32 = doorbellWriter(words, bytes, () => coreBell.ring(Cause.doorbell));
    registers[name] = { ...registers[name]!, write32 };
  }
}
// What is mapped needs no descriptor, and code that had it could do more than ring.
const mapped = [
  ...boot.doorbells.filter((each) => !("message" in each)),
  ...boot.registers.flatMap(({ pages }) => pages ?? []),
];
new Set(mapped.map(({ fd }) => fd)).forEach(close);
const written = boot.doorbells.filter((each) => "message" in each).map(({ fd }) => fd);
const end = Math.max(Descriptor.vectors + boot.vectors - 1, ...written) + 1;
// From here on the loop's set is fixed.
loop.runOnce(0);

// Deno starts a thread for signals when it needs one, half a second after the start at the latest: better now than when
// there are no more threads to be had.
const ignored = () => {};
Deno.addSignalListener("SIGWINCH", ignored);
Deno.removeSignalListener("SIGWINCH", ignored);

const host: { plugin?: AnyPlugin } = {};
Object.defineProperty(globalThis, HOST, { value: host });
let shut = false;
(Error as unknown as { prepareStackTrace: unknown }).prepareStackTrace = told;
beforePlugin(() => {
  modules.forEach(learnPlaces);
  enclose({ granted: [Descriptor.driverBell, end], pass });
  // The plugin may import any module of the core, this process's own instances of them; nothing in there may be of
  // use to it. What is needed from now on is held by the functions made above, and by nothing else.
  forgetLibc();
  for (const name of ["ffi", "read", "write", "net", "env", "sys", "run", "import"] as const) {
    Deno.permissions.revokeSync({ name } as Deno.PermissionDescriptor);
  }
  shut = true;
});
// Deno is up: what comes now is the driver's doing.
Atomics.store(words, ControlWord.beatAnswered, FIRST_BEAT);
const last = import.meta.resolve("./give_up.ts");
const modules: string[] = [];
try {
  if (boot.folder.startsWith("file:")) modules.push(...filesOf(new URL(boot.folder)));
  await import(
    `data:text/javascript,${
      encodeURIComponent(`import ${JSON.stringify(last)};import ${JSON.stringify(entry)};`)
    }`
  );
} catch (error) {
  if (shut) throw error;
  fail(whyNotLoaded(error as Error));
}
if (!host.plugin) {
  throw new Error("This module defines no plugin: it does not call definePlugin");
}
try {
  serve(host.plugin);
} catch (error) {
  // Told here: where Deno does it, it looks up frames of the core.
  fail(String(error));
}

function counted(window: Registers): Registers {
  const count = (read: (offset: number) => number) => (offset: number) => {
    reads++;
    return read(offset);
  };
  return {
    ...window,
    read8: count(window.read8),
    read16: count(window.read16),
    read32: count(window.read32),
  };
}

function fail(sentence: string): never {
  console.error(`error: ${sentence}`);
  Deno.exit(1);
}

interface CallSite {
  getScriptNameOrSourceURL(): string | null;
  toString(): string;
}

/**
 * The text of an error's stack, without the frames of the core: to find out where they are Deno would read files, which
 * this process cannot do any more, and it panics then.
 */
function told(error: Error, sites: readonly CallSite[]): string {
  const own = sites.filter((site) => !site.getScriptNameOrSourceURL()?.startsWith(CORE));
  return [String(error), ...own.map((site) => `    at ${site}`)].join("\n");
}

/**
 * Has Deno read now where in the plugin's text each of its lines is. At the first error it would make that anew, from the text,
 * as its cache cannot be read any more; and its parser panics for some, as it asks for the limits of its stack by calls that
 * are refused by then. It reads that of the module that an error's frame is in, in 2 to 3 ms; there is no documented way, and
 * which of the files the plugin imports is not known before it runs.
 */
function learnPlaces(path: string): void {
  const internal = Deno as unknown as Record<symbol, { core?: { evalContext?: unknown } }>;
  const run = internal[(Deno as unknown as { internal: symbol }).internal]?.core?.evalContext;
  // Not there in each Deno: then errors may be told without their place.
  if (typeof run !== "function") return;
  const name = path.split("/").map(encodeURIComponent).join("/");
  run("void new Error().stack", new URL(name, boot.folder).href);
}

/**
 * The TypeScript in a plugin's folder, by paths in it. Refuses one with a link in it that leads out: Deno follows one in some imports
 * without a look at where it leads.
 */
function* filesOf(folder: URL): Generator<string> {
  const home = Deno.realPathSync(folder);
  const stack = [home];
  for (let path = stack.pop(); path !== undefined; path = stack.pop()) {
    for (const { name, isDirectory, isSymlink } of Deno.readDirSync(path)) {
      const each = `${path}/${name}`;
      if (isDirectory) stack.push(each);
      if (/(?<!_test)\.[cm]?tsx?$/.test(name)) yield each.slice(home.length + 1);
      if (isSymlink && !leadsInto(home, each)) {
        throw new Error(`${each} is a link that leads out of its folder`);
      }
    }
  }
}

function leadsInto(folder: string, link: string): boolean {
  try {
    return Deno.realPathSync(link).startsWith(`${folder}/`);
  } catch {
    return false; // nowhere, or where this process may not look
  }
}

/** What kept the plugin from being loaded, in one line for its author. */
function whyNotLoaded({ message }: Error): string {
  const [what = ""] = message.split("\n");
  const where = /\n +at (\S+)$/.exec(message)?.[1];
  const path = /^Requires read access to "(.*)", run again/.exec(what)?.[1];
  const why = path === undefined ? what : `it imports ${path}, which is outside of its folder`;
  return `Cannot load the driver: ${why}${where === undefined ? "" : ` (${where})`}`;
}

function serve(plugin: AnyPlugin): never {
  const own = session = new DriverSession(plugin, {
    control,
    arena,
    inbox: new Mailbox(control, TO_DRIVER, MAILBOX_CAPACITY),
    outbox: new Mailbox(control, TO_CORE, MAILBOX_CAPACITY),
    core: coreBell,
    registers,
    doorbell: (index) => rings[index]!,
    watch: boot.watch,
    counted: boot.counted,
    vectors: boot.vectors,
    ...(trace && { trace }),
  });
  let most = SPINS;
  let spins = most;
  for (let round = 1; !own.ended; round++) {
    let worked = false;
    const asked = words[ControlWord.registerAsked];
    const read = reads;
    // However long a turn takes, the core waits for one of them, not for all.
    for (let i = 0; i < spins && !driverBell.hasRung(URGENT); i++) {
      if (own.run()) worked = true;
      else if (i % LOOKS === LOOKS - 1 && !yieldProcessor()) break;
      // Where a look costs an access to a register, of the core's or in place, one is enough: a virtual machine is left for it.
      if (words[ControlWord.registerAsked] !== asked || reads !== read) break;
    }
    const idle = own.idle();
    if (!idle && round % ROUNDS !== 0 && !driverBell.hasRung(URGENT)) continue;
    const before = performance.now();
    const happened = loop.runOnce(!idle ? 0 : own.busy ? own.period : -1);
    if (idle) {
      const napped = performance.now() - before < NAP_MS;
      most = napped ? Math.min(most * 4, SPINS) : Math.max(most >> 2, FEWEST);
    }
    // Requests that wait for the world do not keep a processor busy: where nothing happens, one look is enough.
    spins = !idle || worked || happened ? most : 1;
    if (!happened && idle && !own.polled) own.kick();
  }
  Deno.exit(0);
}

/**
 * Waits until the core has taken answers to doorbells. The core sets the limit: it ends a driver that answers no beat.
 * A core that stands still itself, as after Ctrl-Z, comes back.
 */
function waitForCredits(room: () => boolean): void {
  coreBell.ring(Cause.credits);
  waitFor(room);
}

/** The same where the core is asked for something else. */
function waitFor(done: () => boolean): void {
  const patience = performance.now() + SPIN_MS;
  while (!done()) {
    if (performance.now() < patience) yieldProcessor();
    else nap(1);
  }
}

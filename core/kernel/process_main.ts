/**
 * The first module of a driver's process, evaluated before the plugin: it maps what was granted, confines the
 * process, gives up every permission, and serves the plugin once that is loaded.
 *
 * @module
 */

import { Bell, Cause } from "../bus/bell.ts";
import { ControlWord, MAILBOX_CAPACITY, TO_CORE, TO_PLUGIN } from "../bus/control.ts";
import { Mailbox } from "../bus/mailbox.ts";
import { confine } from "../host/confine.ts";
import { clearer, close, signaller } from "../host/fd.ts";
import { forgetLibc } from "../host/libc.ts";
import { mapShared } from "../host/memory.ts";
import { poller, yielder } from "../host/poll.ts";
import { InterruptLoop } from "../irq/interrupt_loop.ts";
import { HOST, type Plugin } from "../plugin/plugin.ts";
import { type Boot, Descriptor, fromWire } from "./boot.ts";
import { Doorbells } from "./doorbell.ts";
import { DriverSession } from "./driver_session.ts";

/** A device that answers at once is not worth a sleep: so often it is looked at before. */
const SPINS = 2000;
/** Under load, messages from the core are looked for after so many rounds of that. */
const ROUNDS = 16;
/** When it is time to sleep between looks for credits, in milliseconds. */
const CREDIT_SPIN_MS = 100;

const boot: Boot = JSON.parse(Deno.args[0]!);
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
const driverBell = new Bell(words, ControlWord.driverBell, signaller(Descriptor.driverBell));
const coreBell = new Bell(words, ControlWord.coreBell, signaller(Descriptor.coreBell));
const loop = new InterruptLoop();
for (let i = 0; i < boot.vectors; i++) {
  loop.add(Descriptor.vectors + i, clearer(Descriptor.vectors + i));
}
const clearBell = clearer(Descriptor.driverBell);
const yieldProcessor = yielder();
const pollNothing = poller();
const { rings } = new Doorbells(boot.doorbells.map(fromWire), {
  words,
  low: () => coreBell.ring(Cause.credits),
  wait: waitForCredits,
});
// What is mapped needs no descriptor, and who had it could do more than ring.
const mapped = boot.doorbells.filter((each) => !("message" in each));
new Set(mapped.map(({ fd }) => fd)).forEach(close);

// The plugin may import any module of the core, this process's own instances of them; nothing in there may be of use
// to it. What is needed from now on is held by the functions made above, and by nobody else.
forgetLibc();
for (const name of ["ffi", "read", "write", "net", "env", "sys", "run", "import"] as const) {
  Deno.permissions.revokeSync({ name } as Deno.PermissionDescriptor);
}
const host: { plugin?: Plugin } = {};
Object.defineProperty(globalThis, HOST, { value: host });

// "load" comes when the main module, the plugin, has been evaluated, even if it threw; Deno shall tell of that first.
addEventListener("load", () => {
  if (host.plugin) serve(host.plugin);
  setTimeout(() => {
    throw new Error("This module defines no plugin: it does not call definePlugin");
  }, 100);
});

function serve(plugin: Plugin): never {
  const session = new DriverSession(plugin, {
    control,
    arena,
    inbox: new Mailbox(control, TO_PLUGIN, MAILBOX_CAPACITY),
    outbox: new Mailbox(control, TO_CORE, MAILBOX_CAPACITY),
    core: coreBell,
    doorbell: (index) => rings[index]!,
    watch: boot.watch,
  });
  loop.addBell(driverBell, Descriptor.driverBell, (causes) => {
    if (causes & Cause.mail) session.mail();
    if (causes & Cause.beat) {
      Atomics.store(words, ControlWord.beatAnswered, Atomics.load(words, ControlWord.beatAsked));
    }
  }, clearBell);
  let spins = SPINS;
  for (let round = 1; !session.ended; round++) {
    let worked = false;
    for (let i = 0; i < spins; i++) worked = session.turn() || worked;
    const idle = session.idle();
    if (!idle && round % ROUNDS !== 0) continue;
    const happened = loop.turn(!idle ? 0 : session.busy ? session.period : -1);
    // Requests that wait for the world do not keep a processor busy: where nothing happens, one look is enough.
    spins = !idle || worked || happened ? SPINS : 1;
    if (!happened && idle && !session.polled) session.kick();
  }
  Deno.exit(0);
}

/**
 * Waits until the core has taken answers to doorbells. The core sets the limit: it ends a driver that answers no beat.
 * A core that stands still itself, as after Ctrl-Z, comes back.
 */
function waitForCredits(room: () => boolean): void {
  const patience = performance.now() + CREDIT_SPIN_MS;
  const nothing = new Int32Array(0);
  coreBell.ring(Cause.credits);
  while (!room()) {
    if (performance.now() < patience) yieldProcessor();
    else pollNothing(nothing, 0, 1);
  }
}

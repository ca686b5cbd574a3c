/**
 * The SCSI driver on a simulated adapter: what QEMU's has not, and adapters that lie.
 *
 * @module
 */

import { ScsiError, senseText } from "../classes/scsi/mod.ts";
import type { Device } from "../classes.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ScsiModel, type ScsiOptions, type UnitOptions } from "@virtio/scsi/model";
import { Status } from "../core/bus/lane.ts";
import { RequestError } from "../core/bus/request_error.ts";
import { ScsiResponse } from "../classes/scsi/protocol.ts";
import { REPORT_LUNS_UNIT } from "../classes/scsi/address.ts";
import { fitted, RING_PACKED } from "../simulation/mod.ts";
import { DRIVERS } from "../drivers.ts";
import { type Kernel, openKernel, type OpenOptions } from "../mod.ts";
import { leftovers, soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { pattern } from "./support/machine.ts";
import { differsAt, useDisk } from "./support/qemu.ts";
import { nextEvent } from "./support/scsi.ts";

const MIB = 2 ** 20;
const DISK: UnitOptions = { capacity: MIB, serial: "DISK" };
const UNIT = { target: 0, lun: 0 };
const READ = Uint8Array.of(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
const isRead = (cdb: Uint8Array) => cdb[0] === 0x28;

/** A kernel with one simulated adapter at work. */
interface Use extends AsyncDisposable {
  readonly kernel: Kernel;
  readonly model: ScsiModel;
  readonly device: Device<"scsi">;
  readonly client: Device<"scsi">["client"];
}

async function open(
  adapter: Partial<ScsiOptions> = {},
  options: OpenOptions = {},
  prepare: (model: ScsiModel) => void = () => {},
): Promise<Use> {
  const model = new ScsiModel({ units: [DISK], ...adapter });
  prepare(model);
  const kernel = await openKernel({
    machine: "simulated",
    devices: [model],
    drivers: DRIVERS,
    isolation: "inline",
    ...options,
  });
  try {
    const device = await kernel.attachFirst("scsi");
    const { client } = device;
    return {
      kernel,
      model,
      device,
      client,
      [Symbol.asyncDispose]: () => kernel[Symbol.asyncDispose](),
    };
  } catch (error) {
    await kernel[Symbol.asyncDispose]();
    throw error;
  }
}

for (const isolation of ["process", "inline"] as const) {
  for (const form of ["modern", "transitional", "packed"] as const) {
    Deno.test(`scsi: a disk is written and read (${form}, ${isolation})`, async () => {
      const left = await leftovers(async () => {
        const fit = (model: ScsiModel) => {
          if (form === "packed") fitted(model, { with: RING_PACKED });
          if (form === "transitional") fitted(model, { generation: "transitional" });
        };
        await using use = await open({}, { isolation, legacy: form === "transitional" }, fit);
        const disk = await use.client.disk(UNIT);
        await useDisk(disk, new Uint8Array(MIB), 0, 50);
        const { transport } = await use.device.describe();
        assertEquals(transport, form === "transitional" ? "legacy" : "modern");
      });
      assertEquals(left, []);
    });
  }
}

Deno.test("scsi: sizes of sense data and CDB are written before the first request #scsi:SENSE_SIZE", async () => {
  // An adapter that starts with others: they hold if the driver does not write them.
  const config = { 20: 40, 24: 16 };
  await using use = await open({ config }, { tunables: { "scsi.sense_size": 200 } });
  const view = new DataView(use.model.config.buffer);
  assertEquals([view.getUint32(20, true), view.getUint32(24, true)], [200, 32]);
  await useDisk(await use.client.disk(UNIT), new Uint8Array(MIB), 0, 5);
});

Deno.test("scsi: an adapter that does not heed what is written is understood all the same", async () => {
  await using use = await open({}, {}, (model) => model.configWrite = () => {});
  await useDisk(await use.client.disk(UNIT), new Uint8Array(MIB), 0, 5);
});

Deno.test("scsi: an adapter without hot plug, changes and all else works #scsi:CONFIG", async () => {
  const config = { 4: 1, 8: 8, 12: 1, 16: 0 };
  await using use = await open({ lacks: 0xfn, config, requestQueues: 2 });
  // One segment, one command at a time, no word about events.
  assertEquals([use.client.dataBytes, use.client.hotplug], [4096, false]);
  await useDisk(await use.client.disk(UNIT), new Uint8Array(MIB), 0, 20);
  const both = use.client.execute(UNIT, READ, { inBytes: 512, out: new Uint8Array(512) });
  await assertRejects(() => both, RangeError, "VIRTIO_SCSI_F_INOUT");
});

for (
  const [what, config, queues, why] of [
    ["no request queue", { 0: 0 }, 1, "it has no request queue"],
    ["events of 4 GiB", { 16: 0xffffffff }, 1, "it wants 4294967295 bytes for an event"],
  ] as const
) {
  Deno.test(`scsi: an adapter with ${what} is declined`, async () => {
    await assertRejects(() => open({ config, requestQueues: queues }), Error, why);
  });
}

Deno.test("scsi: data go both ways in one command #scsi:INOUT", async () => {
  await using use = await open();
  const disk = await use.client.disk(UNIT);
  const [before, after] = [pattern(1024, 1), pattern(1024, 2)];
  await disk.write(512, before);
  // XDWRITEREAD(10): writes, and reads the difference.
  const cdb = Uint8Array.of(0x53, 0, 0, 0, 0, 1, 0, 0, 2, 0);
  const { data, residual, status } = await use.client.execute(UNIT, cdb, {
    out: after,
    inBytes: 1024,
  });
  assertEquals([status, residual], [0, 0]);
  assertEquals(data, before.map((byte, i) => byte ^ after[i]!));
  assertEquals(await disk.read(512, 1024), after);
});

Deno.test("scsi: protection information goes along, and is checked on both sides #scsi:T10_PI #scsi:PI_BYTES", async () => {
  await using use = await open({ units: [{ ...DISK, protection: true }] });
  const { client } = use;
  const disk = await client.disk(UNIT);
  assertEquals(disk.geometry.protectionType, 1);
  const bytes = pattern(8192, 3);
  await disk.writeProtected(4096, bytes);
  assertEquals(await disk.readProtected(4096, 8192), bytes);
  // The unit finds a wrong guard.
  const cdb = Uint8Array.of(0x2a, 0x20, 0, 0, 0, 8, 0, 0, 1, 0);
  const answer = await client.execute(UNIT, cdb, {
    out: bytes.slice(0, 512),
    outProtection: new Uint8Array(8),
  });
  assertEquals(
    senseText(answer.sense!),
    "hardware error: logical block guard check failed (4/10/01)",
  );
  // So do we.
  use.model.units.values().next().value!.fill(4096, Uint8Array.of(bytes[0]! ^ 1));
  const wrong = await assertRejects(() => disk.readProtected(4096, 8192), ScsiError);
  assertEquals(wrong.status, Status.invalid);
  assertEquals((await disk.read(4096, 8192)).slice(1), bytes.slice(1));
});

Deno.test("scsi: commands say how they stand among others #scsi:REQUEST", async () => {
  await using use = await open();
  await use.client.ready(UNIT);
  use.model.attributes.length = 0;
  for (const order of ["simple", "ordered", "head", "aca"] as const) {
    await use.client.execute(UNIT, READ, { inBytes: 512, order });
  }
  assertEquals(use.model.attributes, [0, 1, 2, 3]);
});

Deno.test("scsi: a target lists its units also by the well-known one #scsi:REPORT_LUNS_WLUN", async () => {
  const spoil = (cdb: Uint8Array) => cdb[0] === 0xa0 && once++ < 2 ? { status: 8 } : undefined;
  let once = 0;
  // LUN 0 is too busy to tell, so the other one is asked.
  await using use = await open({ units: [DISK, { ...DISK, lun: 9 }], maxTarget: 0, spoil });
  const units = await use.client.scan();
  assertEquals(units.map(({ address }) => address.lun), [0, 9]);
  const { response } = await use.client.execute(
    { target: 0, lun: REPORT_LUNS_UNIT },
    Uint8Array.of(0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0),
    { inBytes: 256 },
  );
  assertEquals(response, ScsiResponse.ok);
});

Deno.test("scsi: all events arrive, each as what it is #scsi:EVENT_TRANSPORT_RESET_HARD #scsi:EVENT_TRANSPORT_RESET_RESCAN #scsi:EVENT_TRANSPORT_RESET_REMOVED #scsi:EVENT_PARAM_CHANGE #scsi:EVENT_ASYNC_NOTIFY #scsi:AN_QUERY #scsi:AN_SUBSCRIBE", async () => {
  for (const isolation of ["process", "inline"] as const) {
    const cdrom: UnitOptions = { target: 1, type: "cdrom", capacity: MIB };
    await using use = await open({ units: [DISK, cdrom] }, { isolation });
    const { client, model } = use;
    await client.scan();
    const disk = await client.disk(UNIT);
    const cd = await client.disk({ target: 1, lun: 0 });
    const events = client.changes();

    model.add({ target: 2, lun: 1, capacity: MIB });
    assertEquals((await nextEvent(events, "added")).address, { target: 2, lun: 1 });
    model.remove(2, 1);
    assertEquals((await nextEvent(events, "removed")).address, { target: 2, lun: 1 });

    model.resize(0, 0, 2 * MIB);
    const { asc, ascq } = await nextEvent(events, "changed");
    assertEquals([asc, ascq], [0x2a, 0x09]);
    assert(await soon(() => disk.capacity === 2 * MIB));

    model.event(1, 0x400000, 0);
    assertEquals((await nextEvent(events, "reset")).address, UNIT);

    // Media changes, of all that are asked for.
    assertEquals(await client.notifications(cd.address, 0x7e), 2 | 16);
    assertEquals(await client.subscribe(cd.address, 16), 16);
    model.load(1, 0, false);
    const notified = await nextEvent(events, "notified");
    assertEquals([notified.address, notified.notifications], [cd.address, 16]);
    assert(await soon(() => cd.capacity === 0));
    model.load(1, 0, true);
    assert(await soon(() => cd.capacity === MIB));
    await assertRejects(
      () => client.subscribe({ target: 5, lun: 0 }, 16),
      RequestError,
      "no such unit",
    );
  }
});

Deno.test("scsi: events that were lost are found out by a scan #scsi:EVENTS_MISSED #scsi:EVENT_BUFFERS", async () => {
  await using use = await open();
  const { client, model } = use;
  await client.scan();
  const disk = await client.disk(UNIT);
  const events = client.changes();
  // More at once than there are buffers: the driver has none left for the last.
  for (let i = 0; i < 20; i++) model.event(3, 0x400000, 0x2a);
  model.units.get(0x400000)!.resize(3 * MIB);
  model.add({ lun: 7, capacity: MIB });
  await nextEvent(events, "missed");
  assertEquals((await nextEvent(events, "added")).address, { target: 0, lun: 7 });
  assert(await soon(() => disk.capacity === 3 * MIB));
  const { statistics, queues } = await use.device.describe();
  assert(statistics.events_missed! > 0);
  assertEquals(queues[1]!.inFlight, 16);
});

Deno.test("scsi: all task management functions reach the device as what they are #scsi:TMF_ABORT_TASK_SET #scsi:TMF_CLEAR_ACA #scsi:TMF_CLEAR_TASK_SET #scsi:TMF_I_T_NEXUS_RESET #scsi:TMF_LOGICAL_UNIT_RESET #scsi:TMF_QUERY_TASK_SET", async () => {
  await using use = await open({ hold: isRead });
  const { client, model } = use;
  await client.ready(UNIT);
  assertEquals(await client.manage("queryTaskSet", UNIT), false);
  const ends:
    readonly (readonly ["abortTaskSet" | "clearTaskSet" | "unitReset" | "nexusReset", number])[] = [
      ["abortTaskSet", ScsiResponse.aborted],
      ["clearTaskSet", ScsiResponse.aborted],
      ["unitReset", ScsiResponse.reset],
      ["nexusReset", ScsiResponse.reset],
    ];
  for (const [what, response] of ends) {
    const held = [1, 2].map(() => client.execute(UNIT, READ, { inBytes: 512 }));
    assert(await soonHeld(client));
    assertEquals(await client.manage(what, UNIT), true);
    assertEquals((await Promise.all(held)).map((answer) => answer.response), [response, response]);
  }
  assertEquals(await client.manage("clearAca", UNIT), true);
  assertEquals([...new Set(model.managed)].sort(), [1, 2, 3, 4, 5, 7]);
  await assertRejects(
    () => client.manage("unitReset", { target: 0, lun: 4 }),
    RequestError,
    "no such unit",
  );
  await assertRejects(
    () => client.manage("unitReset", { target: 6, lun: 0 }),
    RequestError,
    "no such target",
  );
});

async function soonHeld(client: Device<"scsi">["client"]): Promise<boolean> {
  for (let i = 0; i < 5000; i++) if (await client.manage("queryTaskSet", UNIT)) return true;
  return false;
}

/** Adapters: what they say to QUERY TASK, which function they carry out, what is tried, and how the command ends. */
const LADDER = [
  ["aborts tasks", ScsiResponse.functionSucceeded, 0, [6, 0], ScsiResponse.aborted],
  ["has lost the task", ScsiResponse.ok, 5, [6, 5], ScsiResponse.reset],
  ["only resets units", ScsiResponse.functionSucceeded, 5, [6, 0, 5], ScsiResponse.reset],
  ["only resets targets", ScsiResponse.functionRejected, 4, [6, 0, 5, 4], ScsiResponse.reset],
] as const;

for (const [what, asked, works, tried, response] of LADDER) {
  Deno.test(
    `scsi: a late command is ended by the mildest means there is (an adapter that ${what}) ` +
      "#scsi:TIMEOUT #scsi:TMF_QUERY_TASK",
    async () => {
      const manage = (subtype: number) =>
        subtype === 6 ? asked : subtype === works ? undefined : ScsiResponse.functionRejected;
      await using use = await open({ hold: isRead, manage });
      await use.client.ready(UNIT);
      const answer = await use.client.execute(UNIT, READ, { inBytes: 512, timeout: 50 });
      assertEquals(use.model.managed, [...tried]);
      assertEquals([answer.response, answer.late], [response, 50]);
      assertEquals([(await use.device.describe()).restarts, use.client.timeouts], [0, 1]);
    },
  );
}

Deno.test("scsi: a command to a unit that is gone is given up, its memory is not", async () => {
  // The device forgets to end the commands of a unit that it takes away.
  const manage = () => ScsiResponse.incorrectLun;
  await using use = await open({ hold: isRead, manage });
  const { client, model } = use;
  await client.ready(UNIT);
  const into = new Uint8Array(512).fill(7);
  const reading = client.execute(UNIT, READ, { into });
  assert(await soon(() => model.attributes.length === 3));
  model.event(1, 0x400000, 2);
  assertEquals((await reading).response, ScsiResponse.incorrectLun);
  const { queues, restarts } = await use.device.describe();
  assertEquals([queues[2]!.inFlight, restarts, into[0]], [1, 0, 7]);
});

Deno.test("scsi: targets are not reset where that is switched off #scsi:TUNABLES", async () => {
  const manage = (subtype: number) => subtype === 6 ? 10 : 11;
  const options = {
    requestDeadline: 3500,
    restarts: 0,
    tunables: { "scsi.bus_reset_disable": true },
  };
  await using use = await open({ hold: isRead, manage }, options);
  await use.client.ready(UNIT);
  const { ended } = await use.client.execute(UNIT, READ, { inBytes: 512, timeout: 50 });
  assertEquals([ended, use.model.managed], [Status.gone, [6, 0, 5]]);
});

Deno.test("scsi: an adapter that answers no function is started anew, and no command is lost (D-96) #scsi:D-96", async () => {
  let held = 0;
  await using use = await open({
    hold: (cdb) => isRead(cdb) && held++ === 0,
    manage: () => -1,
  }, { requestDeadline: 1000 });
  const disk = await use.client.disk(UNIT);
  use.client.timeout = 50;
  assertEquals((await disk.read(0, 512)).length, 512);
  // On a busy machine the next may be late, too.
  assert((await use.device.describe()).restarts >= 1);
});

/** Lies about the end of a read, and what comes of them. */
const LIES_95 = [
  [
    "sense data longer than their room",
    { status: 2, senseLength: 0xffffffff },
    /no sense|check condition/,
  ],
  ["more left over than there was", { residual: 0xffffffff }, /answer was invalid/],
  ["an unknown status", { status: 0x77 }, /the unit's status 0x77 is none/],
  ["an unknown response", { response: 10 }, /answer was invalid/],
  ["another unknown response", { response: 255 }, /answer was invalid/],
  ["check condition without sense data", { status: 2, senseLength: 0 }, /without sense data/],
  ["a response of failure", { response: 9 }, /the device reported an error/],
  ["a broken way", { response: 6 }, /the way to the target is broken/],
  ["a broken target", { response: 7 }, /the target is broken/],
  ["a broken nexus", { response: 8 }, /this way to the target is broken/],
  ["that it is busy for ever", { response: 5 }, /the device is busy/],
  ["a full task set for ever", { status: 0x28 }, /takes no more commands/],
  ["a reservation", { status: 0x18 }, /another initiator has reserved/],
] as const;

for (const [what, lie, says] of LIES_95) {
  Deno.test(`scsi: an adapter that tells ${what} gets an error, and is not believed (D-95) #scsi:D-95 #scsi:RESPONSES #scsi:SENSE_CLAMP #scsi:RESIDUAL_CLAMP`, async () => {
    let lies = true;
    await using use = await open({ spoil: (cdb) => lies && isRead(cdb) ? lie : undefined });
    const disk = await use.client.disk(UNIT);
    use.client.timeout = 300;
    const error = await assertRejects(() => disk.read(0, 1024), ScsiError);
    assertMatch(error.message, says);
    const { statistics, restarts } = await use.device.describe();
    assertEquals(statistics.sense_clamped! > 0, what.startsWith("sense data longer"));
    assertEquals(statistics.residual_clamped! > 0, what.startsWith("more left over"));
    assertEquals(statistics.response_invalid! > 0, what.includes("unknown response"));
    // Nothing is left behind.
    lies = false;
    assertEquals([(await disk.read(0, 1024)).length, restarts], [1024, 0]);
  });
}

Deno.test("scsi: a unit that reads or writes less than it should did not do it (D-95) #scsi:D-95", async () => {
  const spoil = (cdb: Uint8Array) => isRead(cdb) || cdb[0] === 0x2a ? { residual: 1 } : undefined;
  await using use = await open({ spoil });
  const disk = await use.client.disk(UNIT);
  await assertRejects(() => disk.read(0, 512), ScsiError, "the device's answer was invalid");
  await assertRejects(() => disk.write(0, new Uint8Array(512)), ScsiError, "answer was invalid");
});

Deno.test("scsi: a flood of events costs a scan, and no request waits for it (D-96) #scsi:D-96 #scsi:EVENTS_MISSED", async () => {
  await using use = await open();
  const { client, model } = use;
  await client.scan();
  const disk = await client.disk(UNIT);
  const events = client.changes();
  let sent = 0;
  const flood = setInterval(() => {
    for (let i = 0; i < 100; i++, sent++) model.event(1, 0x400000 | sent & 0xff, sent % 4);
  }, 1);
  try {
    await useDisk(disk, new Uint8Array(MIB), 0, 100);
  } finally {
    clearInterval(flood);
  }
  await nextEvent(events, "missed");
  assert(sent >= 100);
  const { statistics, restarts, queues } = await use.device.describe();
  assert(statistics.events! + statistics.events_missed! > 0);
  assertEquals([restarts, queues[1]!.inFlight], [0, 16]);
});

Deno.test("scsi: events about units that cannot be are taken as a sign that others were lost (D-96) #scsi:D-96", async () => {
  await using use = await open();
  const events = use.client.changes();
  // By then the buffers are there.
  await use.client.ready(UNIT);
  for (const address of [-1, 0x800000, 0xff0000]) {
    use.model.event(1, address, 1);
    await nextEvent(events, "missed");
  }
  use.model.event(77, 0x400000, 0);
  await nextEvent(events, "missed");
  assertEquals((await use.device.describe()).statistics.events_malformed, 4);
  await use.client.ready(UNIT);
});

Deno.test("scsi: of a target that lists 16384 units, 256 are looked at (D-96) #scsi:D-96", async () => {
  const luns = Array.from({ length: 16384 }, (_, lun) => lun);
  await using use = await open({ luns, maxTarget: 3 });
  const units = await use.client.scan();
  // The target answers that it does not have the others.
  assertEquals(units.map(({ address }) => address.lun), [0]);
  assert(use.model.attributes.length <= 4 * (256 + 4), `${use.model.attributes.length} commands`);
});

Deno.test("scsi: more commands than there is room for wait their turn #scsi:FULL_QUEUE", async () => {
  await using use = await open(
    { queueSize: 8 },
    {},
    (model) => fitted(model, { without: 1n << 28n }),
  );
  const disk = await use.client.disk(UNIT);
  const bytes = pattern(MIB, 4);
  await Promise.all(
    Array.from(
      { length: 128 },
      (_, i) => disk.write(i * 8192, bytes.subarray(i * 8192, (i + 1) * 8192)),
    ),
  );
  assertEquals(differsAt(await disk.read(0, MIB), bytes), -1);
});

Deno.test("scsi: a flush after a restart says that writes may be lost, once #scsi:REPLAY", async () => {
  await using use = await open({}, { isolation: "process" });
  const { client, device } = use;
  const disk = await client.disk(UNIT);
  await disk.write(0, pattern(512, 1));
  Deno.kill(device.pid!, "SIGKILL");
  assertEquals(await disk.read(0, 512), pattern(512, 1));
  assertEquals((await device.describe()).restarts, 1);
  await assertRejects(() => disk.flush(), RequestError, "may have lost what was written before");
  await disk.flush();
});

Deno.test("scsi: notifications are asked for again after a restart #scsi:REPLAY", async () => {
  const cdrom: UnitOptions = { type: "cdrom", capacity: MIB };
  await using use = await open({ units: [cdrom] }, { isolation: "process" });
  const { client, device, model } = use;
  await client.subscribe(UNIT, 16);
  const events = client.changes();
  Deno.kill(device.pid!, "SIGKILL");
  await nextEvent(events, "missed");
  await client.ready(UNIT);
  assertEquals((await device.describe()).restarts, 1);
  model.load(0, 0, false);
  assertEquals((await nextEvent(events, "notified")).notifications, 16);
});

Deno.test("scsi: a medium that is exchanged for a protected one is written no more #scsi:medium #scsi:drive", async () => {
  await using use = await open();
  const { client, model } = use;
  const [unit] = model.units.values();
  const disk = await client.disk(UNIT);
  await disk.write(0, pattern(4096, 1));
  await disk.flush();
  unit!.load(true, { capacity: 2 * MIB, readOnly: true });
  const error = await assertRejects(() => disk.write(512, pattern(512, 2)), ScsiError);
  assertEquals(
    error.message,
    "Cannot write 512 bytes at 512 of unit 0:0: the medium was exchanged or taken out; open the disk anew",
  );
  await assertRejects(() => disk.writeZeroes(0, 512), ScsiError, "open the disk anew");
  await assertRejects(() => disk.discard(0, 512), ScsiError, "open the disk anew");
  await disk.flush(); // nothing of the old one was left to flush
  await disk.refresh();
  assertEquals([disk.capacity, disk.readOnly], [2 * MIB, true]);
  await assertRejects(() => disk.write(0, pattern(512, 2)), TypeError, "read-only");
  assertEquals(await disk.read(0, 4096), pattern(4096, 1));
});

Deno.test("scsi: whichever request hears of an exchange first, the application is told #scsi:medium", async () => {
  await using use = await open();
  const { client, model } = use;
  const [unit] = model.units.values();
  const disk = await client.disk(UNIT);
  const events = client.changes();
  unit!.load(true, { capacity: 3 * MIB });
  // The user's own command takes the unit attention away.
  const { sense } = await client.execute(UNIT, READ, { inBytes: 512 });
  assertEquals(sense?.asc, 0x28);
  assertEquals((await nextEvent(events, "medium")).address, UNIT);
  await assertRejects(() => disk.read(0, 512), ScsiError, "open the disk anew");
  const anew = await client.disk(UNIT);
  assert(anew !== disk && anew === await client.disk(UNIT));
  assertEquals([anew.capacity, (await anew.read(0, 512)).length], [3 * MIB, 512]);
  await assertRejects(() => disk.read(0, 512), ScsiError, "open the disk anew");
});

Deno.test("scsi: an exchange that a reset of the unit hid shows by the size #scsi:medium", async () => {
  await using use = await open({ units: [{ type: "cdrom", capacity: MIB }] });
  const { client, model } = use;
  const [unit] = model.units.values();
  const disk = await client.disk(UNIT);
  await disk.read(0, 2048);
  unit!.attentions.length = 0;
  unit!.resize(2 * MIB);
  unit!.attentions.push([0x6, 0x29, 0x00]);
  await disk.read(0, 2048);
  assert(await soon(() => disk.exchanged), "it is taken for the same");
  await assertRejects(() => disk.read(0, 2048), ScsiError, "open the disk anew");
});

Deno.test("scsi: a unit that tells of an exchange with every command is an error, and no loop #scsi:medium", async () => {
  await using use = await open();
  const [unit] = use.model.units.values();
  unit!.attentions.push(...Array(1000).fill([0x6, 0x28, 0x00]));
  const error = await assertRejects(() => use.client.disk(UNIT), ScsiError);
  assertMatch(error.message, /not ready to ready change/);
});

Deno.test("scsi: an adapter that never answers is given up, with one end for each command", async () => {
  const left = await leftovers(async () => {
    const silent = { hold: () => true, manage: () => -1 };
    await using use = await open(silent, { requestDeadline: 300, restarts: 0 });
    const events = use.client.changes();
    const reads = Array.from({ length: 5 }, () => use.client.execute(UNIT, READ, { inBytes: 512 }));
    assertEquals((await Promise.all(reads)).map(({ ended }) => ended), Array(5).fill(Status.gone));
    assertMatch(await use.device.gone ?? "", /did not finish a request/);
    assertEquals((await events.next()).done, true);
    assertEquals(await use.client.scan(), []);
  });
  assertEquals(left, []);
});

Deno.test("scsi: what was done is counted #scsi:STATISTICS", async () => {
  await using use = await open();
  await use.client.ready(UNIT);
  await use.client.manage("queryTaskSet", UNIT);
  await use.client.notifications(UNIT, 2);
  const { statistics } = await use.device.describe();
  assertEquals(Object.keys(statistics), [
    "scsi_commands",
    "dequeue_no_requests",
    "response_invalid",
    "sense_clamped",
    "residual_clamped",
    "task_management",
    "notification_requests",
    "events",
    "events_missed",
    "events_malformed",
  ]);
  // The first meets a unit attention.
  assertEquals([statistics.scsi_commands, statistics.task_management], [2, 1]);
});

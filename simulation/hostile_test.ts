import { assert, assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import { PciFault } from "../core/pci/fault.ts";
import { capabilities, MSI_X } from "../core/pci/capabilities.ts";
import { findStructures, type Structures } from "../core/virtio/capabilities.ts";
import { DeviceFault } from "../core/pci/device_fault.ts";
import { DeviceStatus } from "../core/virtio/status.ts";
import { NO_VECTOR } from "./common_config.ts";
import {
  during,
  goneAfter,
  lie,
  type LieId,
  LIES,
  lying,
  needsResetAt,
  neverAnswers,
} from "./hostile.ts";
import type { Lie } from "./lie.ts";
import {
  ACCESS_PLATFORM,
  type DeviceModel,
  EVENT_IDX,
  fitted,
  IN_ORDER,
  INDIRECT_DESC,
  RING_PACKED,
  VERSION_1,
} from "./model.ts";
import { TestMachine } from "./test_machine_test.ts";

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, DEVICE_NEEDS_RESET } = DeviceStatus;

/** Writes 4 bytes; has a configuration and the features that lies are about. */
const honest: DeviceModel = {
  id: 4,
  queues: [8],
  features: 1n << 0n | 1n << 9n | 1n << 11n,
  with: RING_PACKED,
  config: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  handle: (_queue, request) => request.write(Uint8Array.of(1, 2, 3, 4)),
};

function machine(...lies: (LieId | Lie)[]): TestMachine {
  return new TestMachine(lying({ ...honest }, ...lies));
}

/** What a driver gets for `requests` that read 8 bytes and have room for 16, offered `batch` by `batch`. */
function drive(device: TestMachine, requests: number, features = VERSION_1, batch = 1) {
  const driver = device.start(8, features);
  const answers: number[][] = [];
  for (let cookie = 0; cookie < requests; cookie++) {
    driver.begin(cookie);
    driver.readable(READABLE + 8 * cookie, 8);
    driver.writable(WRITABLE + 16 * cookie, 16);
    driver.commit();
    if ((cookie + 1) % batch !== 0) continue;
    driver.publish();
    driver.drain((cookie, written) => answers.push([cookie, written]));
  }
  return {
    answers,
    rule: driver.broken?.rule,
    overlong: driver.counters.overlong,
    notifications: driver.counters.notifications,
  };
}

const READABLE = 0x4000, WRITABLE = 0x5000;

// Where the parts of the queue are in a test machine, if it has no indirect tables.
const DESCRIPTORS = 0, AVAILABLE_RING = 8 * 16;
const deviceArea = (kind: Kind) => kind === "split" ? 0x1000 : 8 * 16;

type Kind = "split" | "packed";
const KIND_FEATURES = { split: VERSION_1, packed: VERSION_1 | RING_PACKED };

function structures({ device }: TestMachine): Structures {
  return findStructures(device.config, (bar) => device.bar(bar)?.size);
}

/** The structures are refused. */
const refused = (rule: string) => (id: LieId) => {
  assertEquals(assertThrows(() => structures(machine(id)), DeviceFault).rule, rule);
};
const noList = (id: LieId) => {
  assertThrows(() => structures(machine(id)), PciFault);
};
/** All that is asked is answered, and the driver notices nothing. */
const served = (id: LieId, kind: Kind) => {
  const { answers, rule } = drive(machine(id), 20, KIND_FEATURES[kind]);
  assertEquals([answers.length, rule], [20, undefined]);
};
/** The driver's ring says which rule is broken. */
const broken = (rule: RegExp, requests = 1) => (id: LieId, kind: Kind) => {
  assertMatch(drive(machine(id), requests, KIND_FEATURES[kind]).rule ?? "", rule);
};

/** How each lie can be seen. */
const VISIBLE: Record<LieId, (id: LieId, kind: Kind) => void | Promise<void>> = {
  "D-01": noList,
  "D-02": noList,
  "D-03": refused("D-03"),
  "D-04": (id) => {
    const liar = machine(id);
    const kinds = capabilities(liar.device.config).map(({ offset }) =>
      liar.device.config.read8(offset + 3)
    );
    assertEquals(kinds.slice(0, 3), [0x7f, 1, 1]);
    assertEquals(structures(liar), structures(machine()));
  },
  "D-05": refused("D-05"),
  "D-06": refused("D-06"),
  "D-07": refused("D-07"),
  "D-08": refused("D-07"),
  "D-09": refused("D-09"),
  "D-10": refused("D-10"),
  "D-11": refused("D-11"),
  "D-12": (id) => {
    const { config } = machine(id).device;
    const at = capabilities(config).find(({ offset }) => config.read8(offset + 3) === 2)!.offset;
    assertEquals(config.read32(at + 8), 0);
  },
  "D-13": (id) => assertEquals(machine(id).read("queue_notify_off"), 0xffff),
  "D-14": refused("D-14"),
  "D-15": (id) => assertEquals(machine(id).device.config.read32(0x24), 0xdeadbeef),
  "D-16": (id) => {
    const liar = machine(id);
    assertEquals(liar.device.config.read16(0), 0x1af4);
    liar.write("device_status", ACKNOWLEDGE);
    assertEquals([liar.device.config.read16(0), liar.device.config.read8(2)], [0xffff, 0xff]);
  },
  "D-17": (id) => {
    const { config } = machine(id).device;
    const at = capabilities(config).find(({ id }) => id === MSI_X)!.offset;
    assertEquals([config.read16(at + 2) & 0x7ff, config.read32(at + 4)], [2047, 0x7ffff001]);
  },
  "D-18": (id) => {
    const liar = machine(id);
    const [first] = capabilities(liar.device.config);
    assertEquals(liar.device.config.read8(first!.offset + 3), 8);
    assertEquals(liar.device.config.read32(first!.offset + 20), 0xfffff000);
    structures(liar);
  },

  "D-19": (id) => assertEquals(machine(id).agree(VERSION_1), 0),
  "D-20": (id) => assertEquals(machine(id).agree(VERSION_1), ACKNOWLEDGE | DRIVER),
  "D-21": (id) => assertEquals(machine(id).agree(VERSION_1), 0xff),
  "D-22": (id) => {
    const all = ACKNOWLEDGE | DRIVER | FEATURES_OK | DEVICE_NEEDS_RESET;
    const liar = machine(id);
    assertEquals(liar.agree(VERSION_1), all);
    assertEquals(liar.agree(VERSION_1), all);
  },
  "D-23": (id) => assertEquals(machine(id).offered() & VERSION_1, 0n),
  "D-24": (id) => {
    const liar = machine(id);
    liar.write("device_status", 0);
    assertEquals(liar.read("device_status"), 0);
    liar.start(8);
    liar.write("device_status", 0);
    assertEquals(liar.read("device_status"), 1);
  },
  "D-25": (id) => {
    const liar = machine(id);
    liar.write("device_status", 0);
    assertEquals([liar.read("device_status"), liar.read("device_status")], [0, 15]);
  },
  "D-26": (id) => {
    const liar = machine(id);
    const before = liar.offered();
    assertNotEquals(liar.offered(), before);
  },
  "D-27": (id) => assertEquals(machine(id).offered() & 0xffffn, 1n << 11n),
  "D-28": (id) => assertEquals(machine(id).offered(), 2n ** 128n - 1n),
  "D-29": (id) => {
    const shown = machine(id).offered();
    assertEquals(shown & 0xffffffffn, shown >> 32n & 0xffffffffn);
    assert(shown & VERSION_1);
  },
  "D-30": (id) => {
    const liar = machine(id);
    assert(liar.offered() & ACCESS_PLATFORM);
    liar.start(8);
    liar.write("queue_reset", 1);
    assertEquals([liar.read("queue_reset"), liar.read("queue_enable")], [1, 1]);
  },
  "D-31": (id) => assertEquals(machine(id).read("num_queues"), 65535),
  "D-32": (id) => assertEquals(machine(id).read("queue_size"), 0),
  "D-33": (id) => assertEquals(machine(id).read("queue_size"), 3),
  "D-34": (id, kind) => {
    assertEquals(machine(id).read("queue_size"), 32768);
    served(id, kind);
  },
  "D-35": (id) => {
    const liar = machine(id);
    assertEquals(liar.read("queue_size"), 8);
    liar.write("queue_size", 4);
    assertEquals(liar.read("queue_size"), 2);
  },
  "D-36": (id) => {
    const liar = machine(id);
    liar.start(8);
    assertEquals(liar.read("queue_enable"), 0);
  },
  "D-37": (id) => {
    const liar = machine(id);
    const before = liar.read("config_generation");
    assertNotEquals(liar.read("config_generation"), before);
  },
  "D-38": (id) => assertEquals(machine(id).device.bar(4)!.read32(0x2000), 0xffffffff),
  "D-39": (id) => {
    const liar = machine(id);
    const first = () => liar.device.bar(4)!.read32(0x2000);
    const [before, generation] = [first(), liar.read("config_generation")];
    liar.start(8);
    assertEquals([before, first()], [0x04030201, 0]);
    assertEquals([liar.read("config_generation"), liar.interrupts.length], [generation, 0]);
  },
  "D-40": (id) => assertEquals(structures(machine(id)).device?.length, 4),

  "D-41": broken(/^D-41$/),
  "D-42": broken(/^D-4[12]$/),
  "D-43": (id, kind) => {
    const { answers, rule } = drive(machine(id), 3, KIND_FEATURES[kind], 3);
    assert(answers.length <= 1);
    assert(rule !== undefined);
  },
  "D-44": broken(/^D-42$/),
  "D-45": (id, kind) => {
    const { answers, rule, overlong } = drive(machine(id), 1, KIND_FEATURES[kind]);
    assertEquals([answers, rule, overlong], [[[0, 16]], undefined, 1]);
  },
  "D-46": (id, kind) => assertEquals(drive(machine(id), 1, KIND_FEATURES[kind]).answers, [[0, 0]]),
  "D-47": (id, kind) => assertEquals(drive(machine(id), 1, KIND_FEATURES[kind]).answers, [[0, 2]]),
  "D-48": (id, kind) => {
    const { answers, rule } = drive(machine(id), 3, KIND_FEATURES[kind], 3);
    assert(answers.length <= 1);
    assert(rule !== undefined);
  },
  "D-49": broken(/^D-48$/),
  "D-50": (id) => {
    const liar = machine(id);
    drive(liar, 1);
    const used = new Uint32Array(liar.memory, deviceArea("split"), 3);
    assertEquals([used[0]! >>> 16, used[2]], [1, 0]);
    liar.look();
    assertEquals(used[2], 4);
  },
  "D-51": (id) => {
    const liar = machine(id);
    assertEquals(drive(liar, 4).answers.length, 4);
    const used = new Uint32Array(liar.memory, deviceArea("split") + 4, 8);
    assertEquals([used[0], used[2], used[6]! < 8], [0xffffffff, 0xffffffff, true]);
  },
  "D-52": (id, kind) => {
    served(id, kind);
    const liar = machine(id);
    drive(liar, 1, KIND_FEATURES[kind]);
    const [low, high] = new Uint32Array(liar.memory, DESCRIPTORS);
    assertEquals([low, high], [2 ** 32 - 1, 2 ** 32 - 1]);
  },
  "D-53": (id, kind) => {
    served(id, kind);
    const liar = machine(id);
    drive(liar, 1);
    assertEquals([...new Uint16Array(liar.memory, AVAILABLE_RING + 4, 2)], [0xffff, 0]);
  },
  "D-54": (id, kind) => {
    const liar = machine(id);
    assertEquals(drive(liar, 2, KIND_FEATURES[kind]).answers, [[0, 4], [1, 4]]);
    const bytes = new Uint8Array(liar.memory, WRITABLE);
    assertEquals(bytes[0], 0xee);
  },
  "D-55": (id, kind) => {
    const liar = machine(id);
    drive(liar, 1, KIND_FEATURES[kind]);
    assertEquals([...new Uint8Array(liar.memory, READABLE, 9)], [...Array(8).fill(0xee), 0]);
  },
  "D-56": (id, kind) => {
    const liar = machine(id);
    assert(liar.offered() & IN_ORDER);
    // A driver that does not rely on the order sees that there is none.
    const driver = liar.start(8, KIND_FEATURES[kind]);
    for (const cookie of [0, 1, 2]) {
      driver.begin(cookie);
      driver.writable(WRITABLE, 16);
      driver.commit();
    }
    driver.publish();
    const cookies: number[] = [];
    driver.drain((cookie) => cookies.push(cookie));
    assertEquals(cookies, [2, 1, 0]);
  },
  "D-58": (id, kind) => {
    const liar = machine(id);
    assertEquals(liar.offered() & EVENT_IDX, 0n);
    const { answers, notifications } = drive(liar, 5, KIND_FEATURES[kind]);
    assertEquals([answers.length, notifications], [1, 1]);
    liar.look();
    liar.look();
  },
  "D-59": (id, kind) => {
    const { answers, notifications } = drive(machine(id), 5, KIND_FEATURES[kind] | EVENT_IDX);
    assertEquals([answers.length, notifications], [1, 1]);
  },
  "D-60": (id, kind) => {
    if (kind === "split") return served(id, kind);
    const { answers, rule } = drive(machine(id), 5, KIND_FEATURES[kind]);
    assertEquals([answers, rule], [[], "D-60"]);
  },
  "D-61": (id, kind) => {
    if (kind === "split") return served(id, kind);
    const liar = machine(id);
    const { answers } = drive(liar, 5, KIND_FEATURES[kind] | EVENT_IDX);
    const event = new Uint16Array(liar.memory, deviceArea(kind), 2);
    assertEquals([answers.length, ...event], [5, 0x7fff, 2]);
  },
  "D-62": (id, kind) => {
    const liar = machine(id);
    const features = KIND_FEATURES[kind] | INDIRECT_DESC;
    assertEquals(drive(liar, 20, features).answers.length, 20);
    const ones = new Uint8Array(liar.memory, 0, 0x4000).reduce((n, byte) => n + +(byte === 255), 0);
    assert(ones >= 32, `${ones} bytes of tables`);
  },
  "D-63": broken(/^D-(4[128]|60)$/, 8),

  "D-64": (id, kind) => assertEquals(drive(machine(id), 3, KIND_FEATURES[kind]).answers, []),
  "D-65": async (id, kind) => {
    for (const reachable of [true, false]) {
      const liar = machine(id);
      const driver = liar.start(8, KIND_FEATURES[kind]);
      driver.begin(0);
      driver.writable(WRITABLE, 16);
      driver.commit();
      driver.publish();
      assertEquals(driver.drain(() => {}), 0);
      liar.write("device_status", 0);
      assertEquals(liar.read("device_status"), 0);
      if (!reachable) liar.device.memory.clear();
      await Promise.resolve();
      assertEquals(driver.drain(() => {}), reachable ? 1 : 0);
    }
  },
  "D-66": async (id, kind) => {
    const liar = machine(id);
    const driver = liar.start(8, KIND_FEATURES[kind]);
    const cookies: number[] = [];
    for (const cookie of [0, 1, 2, 3]) {
      driver.begin(cookie);
      driver.writable(WRITABLE, 16);
      driver.commit();
    }
    driver.publish();
    while (cookies.length < 4) {
      assert(driver.drain((cookie) => cookies.push(cookie)) <= 1);
      await new Promise((done) => setTimeout(done, 0));
    }
    assertNotEquals(cookies, [0, 1, 2, 3]);
    assertEquals(cookies.toSorted(), [0, 1, 2, 3]);
    liar.device.reset();
  },
  "D-67": (id) => assert(machine(id).device.model.storms),
  "D-68": (id) => {
    const liar = machine(id);
    assertEquals(drive(liar, 3).answers.length, 3);
    assertEquals(liar.interrupts, []);
  },
  "D-69": (id) => {
    const liar = machine(id);
    drive(liar, 2);
    assertEquals(liar.interrupts, [1, 0, 1, 0]);
  },
  "D-70": (id) => {
    const liar = machine(id);
    liar.start(8);
    const vectors = [liar.read("config_msix_vector"), liar.read("queue_msix_vector")];
    assertEquals(vectors, [NO_VECTOR, NO_VECTOR]);
  },
  "D-71": (id) => {
    const liar = machine(id);
    liar.prepare(8);
    assertEquals(liar.interrupts, [0, 1, 0, 1]);
  },
  "D-72": (id) => {
    const isr = machine(id).device.bar(4)!;
    assertEquals([isr.read8(0x1000), isr.read8(0x1000)], [0xff, 0xff]);
  },
  "D-73": (id, kind) => {
    const liar = machine(id);
    assertEquals(drive(liar, 8, KIND_FEATURES[kind]).answers.length, 6);
    assertEquals([liar.read("device_status"), liar.device.config.read32(0)], [255, 2 ** 32 - 1]);
  },
  "D-76": (id, kind) => {
    const liar = machine(id);
    assertEquals(drive(liar, 8, KIND_FEATURES[kind]).answers.length, 4);
    assertEquals([liar.read("device_status"), liar.read("queue_enable")], [0, 0]);
    assertEquals(drive(liar, 8, KIND_FEATURES[kind]).answers.length, 8);
  },
  "D-77": (id, kind) => {
    const liar = machine(id);
    drive(liar, 8, KIND_FEATURES[kind]);
    assert(liar.read("device_status") & DEVICE_NEEDS_RESET);
    assertEquals(drive(liar, 8, KIND_FEATURES[kind]).answers.length, 8);
  },
  "D-79": (id, kind) => {
    const liar = machine(id);
    const rules = [1, 2, 3, 4].map(() => drive(liar, 1, KIND_FEATURES[kind]).rule);
    assertEquals(rules, ["D-41", undefined, "D-41", undefined]);
  },
};

Deno.test("every lie has a number and a sentence, and can be seen", () => {
  assertEquals(Object.keys(VISIBLE), [...LIES]);
  for (const id of LIES) {
    assertEquals(lie(id).id, id);
    assert(lie(id).does.length > 5);
    assertMatch(lie(id).section ?? "", /^(PCI )?\d(\.\d+)+$/, id);
  }
  assertThrows(() => lie("D-999"), RangeError, "D-01");
});

for (const id of LIES) {
  const { does, without = 0n } = lie(id);
  for (const kind of ["split", "packed"] as const) {
    if (kind === "packed" && without & RING_PACKED) continue;
    Deno.test(`${id}: a device ${does} (${kind})`, () => VISIBLE[id]!(id, kind));
  }
}

Deno.test("an honest device does not lie", () => {
  for (const features of Object.values(KIND_FEATURES)) {
    const { answers, rule, overlong } = drive(machine(), 3, features);
    assertEquals([answers, rule, overlong], [[[0, 4], [1, 4], [2, 4]], undefined, 0]);
  }
});

Deno.test("lies add up", () => {
  const liar = machine("D-33", "D-37");
  assertEquals(liar.read("queue_size"), 3);
  const before = liar.read("config_generation");
  assertNotEquals(liar.read("config_generation"), before);
});

Deno.test("during() tells a lie in some lives only", () => {
  const liar = machine(during(lie("D-41"), (life) => life === 2));
  const rules = [1, 2, 3].map(() => drive(liar, 1).rule);
  assertEquals(rules, [undefined, "D-41", undefined]);
  const silent = machine(during(lie("D-68"), (life) => life === 1));
  drive(silent, 2);
  assertEquals(silent.interrupts, []);
  drive(silent, 2);
  assertEquals(silent.interrupts, [1, 1]);
});

Deno.test("needsResetAt() fails a device at any step", () => {
  for (const bit of [ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK]) {
    const liar = machine(needsResetAt(bit));
    liar.start(8);
    assert(liar.read("device_status") & DEVICE_NEEDS_RESET, `${bit}`);
    assertEquals(liar.failures.map(({ name }) => name), ["NeedsReset"]);
  }
});

Deno.test("neverAnswers() leaves one request", () => {
  const { answers } = drive(machine(neverAnswers(3)), 5);
  assertEquals(answers.map(([cookie]) => cookie), [0, 1, 3, 4]);
});

Deno.test("goneAfter() takes a device away after any number of accesses", () => {
  for (let accesses = 0; accesses < 60; accesses++) {
    const liar = machine(goneAfter(accesses));
    drive(liar, 3);
    if (accesses < 20) assertEquals(liar.interrupts, []);
    for (let i = 0; i < accesses; i++) liar.read("device_status");
    assertEquals(liar.read("device_status"), 0xff);
  }
});

Deno.test("lies and fittings go together", () => {
  const model = fitted(lying({ ...honest }, "D-41"), { with: RING_PACKED, vectors: 1 });
  assertEquals(drive(new TestMachine(model), 1, KIND_FEATURES.packed).rule, "D-41");
});

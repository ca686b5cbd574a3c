// What an access to a register of a VirtIO device means, in words and with the section of virtio 1.4.

import { featureName, featureNumbers } from "./features.ts";
import { DeviceStatus, statusNames } from "./status.ts";

/** The structures that a device has registers in. */
export type Structure = "common" | "device" | "isr" | "legacy";

/** What an access means. */
export interface Meaning {
  /** The register's name in the specification. */
  readonly name: string;
  /** What the value says, if more than its number. */
  readonly meaning?: string;
  /** The section that tells of it. */
  readonly section: string;
}

/** What was read or written. */
interface Access {
  readonly write: boolean;
  readonly value: number;
}

/** What was selected before: the queue, and words of features. */
interface Selected {
  queue: number;
  deviceWord: number;
  driverWord: number;
}

type Explain = (access: Access, selected: Selected) => string | undefined;

/** What is known of one register. */
interface Known {
  readonly at: number;
  readonly width: number;
  readonly name: string;
  readonly section: string;
  readonly explain?: Explain;
}

const NO_VECTOR = 0xffff;

/** The steps of 3.1.1, by the bit of the status that ends each. */
const STEPS: readonly (readonly [bit: number, step: string])[] = [
  [DeviceStatus.DRIVER_OK, "step 8: the device is live"],
  [DeviceStatus.FEATURES_OK, "step 5: the features are chosen"],
  [DeviceStatus.DRIVER, "step 3: the driver knows how to drive it"],
  [DeviceStatus.ACKNOWLEDGE, "step 2: the device was noticed"],
];

function explainStatus({ write, value }: Access): string {
  const names = statusNames(value).join(" | ") || "0";
  if (!write) {
    if (value === 0) return "0: the reset is done";
    const agreed = value & DeviceStatus.FEATURES_OK && !(value & DeviceStatus.DRIVER_OK);
    return agreed ? `${names}, step 6: the device agrees` : names;
  }
  if (value === 0) return "step 1: reset";
  if (value & DeviceStatus.FAILED) return `${names}: the driver gives up`;
  return `${names}, ${STEPS.find(([bit]) => value & bit)?.[1] ?? ""}`;
}

function explainFeatures(word: number, value: number, names: Names): string {
  const numbers = featureNumbers(BigInt(value)).map((bit) => bit + 32 * word);
  const list = numbers.map((bit) => names(bit) ?? featureName(bit)).join(", ") || "none";
  return `bits ${32 * word} to ${32 * word + 31}: ${list}`;
}

const explainVector: Explain = ({ value }) => value === NO_VECTOR ? "no vector" : `vector ${value}`;
const ofQueue = (explain: (access: Access) => string): Explain => (access, { queue }) =>
  `queue ${queue}: ${explain(access)}`;
const explainYes = (yes: string, no: string) => ({ value }: Access) => value === 0 ? no : yes;
const entries = ({ write, value }: Access) =>
  write ? `${value} entries` : value === 0 ? "there is none" : `${value} entries at most`;

/** A field of the device's configuration. */
interface Field {
  readonly name: string;
  readonly bytes: number;
}

/** The name of what is read or written there; one of 64 bits is two halves (4.1.3.1). */
function fieldAt(fields: readonly Field[], offset: number): string {
  let at = 0;
  for (const { name, bytes } of fields) {
    if (offset < at + bytes) {
      if (bytes === 8) return `${name} (${offset === at ? "low" : "high"})`;
      return name;
    }
    at += bytes;
  }
  return `byte ${offset}`;
}

/** A feature's name, if it belongs to the device's type. */
export type Names = (bit: number) => string | undefined;

function common(names: Names): readonly Known[] {
  const queue = "4.1.5.1.3";
  const address = (at: number, name: string): Known[] =>
    ["low", "high"].map((half, i) => ({
      at: at + 4 * i,
      width: 4,
      name: `${name} (${half})`,
      section: queue,
      explain: ofQueue(({ value }) => `address 0x${value.toString(16)}, ${half} half`),
    }));
  return [
    { at: 0x00, width: 4, name: "device_feature_select", section: "4.1.4.3", explain: selectsWord },
    {
      at: 0x04,
      width: 4,
      name: "device_feature",
      section: "2.2",
      explain: ({ value }, { deviceWord }) =>
        `offered, ${explainFeatures(deviceWord, value, names)}`,
    },
    { at: 0x08, width: 4, name: "driver_feature_select", section: "4.1.4.3", explain: selectsWord },
    {
      at: 0x0c,
      width: 4,
      name: "driver_feature",
      section: "3.1.1",
      explain: ({ value }, { driverWord }) =>
        `step 4: accepted, ${explainFeatures(driverWord, value, names)}`,
    },
    {
      at: 0x10,
      width: 2,
      name: "config_msix_vector",
      section: "4.1.5.1.2",
      explain: explainVector,
    },
    {
      at: 0x12,
      width: 2,
      name: "num_queues",
      section: "4.1.4.3",
      explain: ({ value }) => `${value} queues`,
    },
    { at: 0x14, width: 1, name: "device_status", section: "3.1.1", explain: explainStatus },
    { at: 0x15, width: 1, name: "config_generation", section: "2.5.1" },
    {
      at: 0x16,
      width: 2,
      name: "queue_select",
      section: queue,
      explain: ({ value }) => `queue ${value}`,
    },
    { at: 0x18, width: 2, name: "queue_size", section: queue, explain: ofQueue(entries) },
    {
      at: 0x1a,
      width: 2,
      name: "queue_msix_vector",
      section: "4.1.5.1.2",
      explain: (access, selected) => `queue ${selected.queue}: ${explainVector(access, selected)}`,
    },
    {
      at: 0x1c,
      width: 2,
      name: "queue_enable",
      section: queue,
      explain: ofQueue(({ write, value }) =>
        `${value === 0 ? "not enabled" : "enabled"}${write ? ", step 7: it is set up" : ""}`
      ),
    },
    {
      at: 0x1e,
      width: 2,
      name: "queue_notify_off",
      section: "4.1.4.4",
      explain: ofQueue(({ value }) => `its doorbell is number ${value}`),
    },
    ...address(0x20, "queue_desc"),
    ...address(0x28, "queue_driver"),
    ...address(0x30, "queue_device"),
    {
      at: 0x3a,
      width: 2,
      name: "queue_reset",
      section: "2.6.1",
      explain: ofQueue(explainYes("reset", "the reset is done")),
    },
  ];
}

function legacy(names: Names): readonly Known[] {
  return [
    {
      at: 0x00,
      width: 4,
      name: "device_feature",
      section: "2.2",
      explain: ({ value }) => `offered, ${explainFeatures(0, value, names)}`,
    },
    {
      at: 0x04,
      width: 4,
      name: "driver_feature",
      section: "3.1.1",
      explain: ({ value }) => `step 4: accepted, ${explainFeatures(0, value, names)}`,
    },
    {
      at: 0x08,
      width: 4,
      name: "queue_address",
      section: "4.1.5.1.3.1",
      explain: ofQueue(({ value }) => value === 0 ? "not enabled" : `page 0x${value.toString(16)}`),
    },
    { at: 0x0c, width: 2, name: "queue_size", section: "4.1.4.10", explain: ofQueue(entries) },
    {
      at: 0x0e,
      width: 2,
      name: "queue_select",
      section: "4.1.4.10",
      explain: ({ value }) => `queue ${value}`,
    },
    { at: 0x12, width: 1, name: "device_status", section: "3.1.1", explain: explainStatus },
    { at: 0x13, width: 1, name: "isr_status", section: "4.1.4.5", explain: explainIsr },
  ];
}

const selectsWord: Explain = ({ value }) => `bits ${32 * value} to ${32 * value + 31}`;
const explainIsr: Explain = ({ value }) =>
  ["a queue", "the configuration"].filter((_, bit) => value >> bit & 1).join(" and ") || "nothing";

/**
 * Makes what finds the meaning of each access to a device's registers, one after the other: some say what the next is
 * about.
 *
 * @param fields Of the device's configuration, in their order.
 */
export function registerMeanings(
  names: Names,
  fields: readonly Field[],
): (structure: Structure, offset: number, access: Access) => Meaning {
  const selected: Selected = { queue: 0, deviceWord: 0, driverWord: 0 };
  const tables: Partial<Readonly<Record<Structure, readonly Known[]>>> = {
    common: common(names),
    legacy: legacy(names),
    isr: [{ at: 0, width: 1, name: "isr_status", section: "4.1.4.5", explain: explainIsr }],
  };
  return (structure, offset, access) => {
    const known = tables[structure]?.find(({ at }) => at === offset);
    if (!known) return { name: fieldAt(fields, offset), section: "2.5" };
    const { name, section, explain } = known;
    if (access.write) {
      if (name === "queue_select") selected.queue = access.value;
      if (name === "device_feature_select") selected.deviceWord = access.value;
      if (name === "driver_feature_select") selected.driverWord = access.value;
    }
    const meaning = explain?.(access, selected);
    return { name, section, ...(meaning !== undefined && { meaning }) };
  };
}

// What an access to a register of a VirtIO device means, in words and with the section of virtio 1.4.

import { featureName, featureNumbers } from "./features.ts";
import { DeviceStatus, statusNames } from "./status.ts";
import { NO_VECTOR } from "./transport.ts";

/** The structures that a device has registers in. */
export type StructureName = "common" | "device" | "isr" | "legacy";

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

/** A feature's name, if it belongs to the device's type. */
export type Names = (bit: number) => string | undefined;

/** What was selected before, by the register that selects it: the queue, and words of features. */
interface Selected {
  queue_select: number;
  device_feature_select: number;
  driver_feature_select: number;
}

type Explain = (access: Access, selected: Selected, names: Names) => string;

/** The steps of 3.1.1, by the bit of the status that ends each. */
const STEPS: readonly (readonly [bit: number, step: string])[] = [
  [DeviceStatus.DRIVER_OK, "step 8: the device is live"],
  [DeviceStatus.FEATURES_OK, "step 5: the features are chosen"],
  [DeviceStatus.DRIVER, "step 3: the driver knows how to drive it"],
  [DeviceStatus.ACKNOWLEDGE, "step 2: the device was noticed"],
];

const explainStatus: Explain = ({ write, value }) => {
  const names = statusNames(value).join(" | ") || "0";
  if (!write) {
    if (value === 0) return "0: the reset is done";
    const agreed = value & DeviceStatus.FEATURES_OK && !(value & DeviceStatus.DRIVER_OK);
    return agreed ? `${names}, step 6: the device agrees` : names;
  }
  if (value === 0) return "step 1: reset";
  if (value & DeviceStatus.FAILED) return `${names}: the driver gives up`;
  return `${names}, ${STEPS.find(([bit]) => value & bit)?.[1] ?? ""}`;
};

function nameFeatures(word: number, value: number, names: Names): string {
  const numbers = featureNumbers(BigInt(value)).map((bit) => bit + 32 * word);
  const list = numbers.map((bit) => names(bit) ?? featureName(bit)).join(", ") || "none";
  return `bits ${32 * word} to ${32 * word + 31}: ${list}`;
}

const explainWord: Explain = ({ value }) => `bits ${32 * value} to ${32 * value + 31}`;
const explainOffered: Explain = ({ value }, { device_feature_select: word }, names) =>
  `offered, ${nameFeatures(word, value, names)}`;
const explainAccepted: Explain = ({ value }, { driver_feature_select: word }, names) =>
  `step 4: accepted, ${nameFeatures(word, value, names)}`;

const explainVector = ({ value }: Access) => value === NO_VECTOR ? "no vector" : `vector ${value}`;
const explainIsr: Explain = ({ value }) =>
  ["a queue", "the configuration"].filter((_, bit) => value >> bit & 1).join(" and ") || "nothing";

const ofQueue = (explain: (access: Access) => string): Explain => (access, { queue_select }) =>
  `queue ${queue_select}: ${explain(access)}`;
const explainSize = ofQueue(({ write, value }) =>
  write ? `${value} entries` : value === 0 ? "there is none" : `${value} entries at most`
);
const explainEnable = ofQueue(({ write, value }) =>
  `${value === 0 ? "not enabled" : "enabled"}${write ? ", step 7: it is set up" : ""}`
);

/** A register: its first byte, its name in the specification, the section that tells of it, and what its value says. */
type Known = readonly [at: number, name: string, section: string, explain?: Explain];

/** One of 64 bits is two halves (4.1.3.1). */
const address = (at: number, name: string): readonly Known[] =>
  ["low", "high"].map((half, i) => [
    at + 4 * i,
    `${name} (${half})`,
    "4.1.5.1.3",
    ofQueue(({ value }) => `address 0x${value.toString(16)}, ${half} half`),
  ]);

const REGISTERS: Readonly<Record<StructureName, readonly Known[]>> = {
  common: [
    [0x00, "device_feature_select", "4.1.4.3", explainWord],
    [0x04, "device_feature", "2.2", explainOffered],
    [0x08, "driver_feature_select", "4.1.4.3", explainWord],
    [0x0c, "driver_feature", "3.1.1", explainAccepted],
    [0x10, "config_msix_vector", "4.1.5.1.2", explainVector],
    [0x12, "num_queues", "4.1.4.3", ({ value }) => `${value} queues`],
    [0x14, "device_status", "3.1.1", explainStatus],
    [0x15, "config_generation", "2.5.1"],
    [0x16, "queue_select", "4.1.5.1.3", ({ value }) => `queue ${value}`],
    [0x18, "queue_size", "4.1.5.1.3", explainSize],
    [0x1a, "queue_msix_vector", "4.1.5.1.2", ofQueue(explainVector)],
    [0x1c, "queue_enable", "4.1.5.1.3", explainEnable],
    [
      0x1e,
      "queue_notify_off",
      "4.1.4.4",
      ofQueue(({ value }) => `its doorbell is number ${value}`),
    ],
    ...address(0x20, "queue_desc"),
    ...address(0x28, "queue_driver"),
    ...address(0x30, "queue_device"),
    [0x3a, "queue_reset", "2.6.1", ofQueue(({ value }) => value ? "reset" : "the reset is done")],
  ],
  isr: [[0x00, "isr_status", "4.1.4.5", explainIsr]],
  /** Its fields stand in the driver's manifest. */
  device: [],
  legacy: [
    [0x00, "device_feature", "2.2", explainOffered],
    [0x04, "driver_feature", "3.1.1", explainAccepted],
    [
      0x08,
      "queue_address",
      "4.1.5.1.3.1",
      ofQueue(({ value }) => value === 0 ? "not enabled" : `page 0x${value.toString(16)}`),
    ],
    [0x0c, "queue_size", "4.1.4.10", explainSize],
    [0x0e, "queue_select", "4.1.4.10", ({ value }) => `queue ${value}`],
    [0x12, "device_status", "3.1.1", explainStatus],
    [0x13, "isr_status", "4.1.4.5", explainIsr],
  ],
};

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

/**
 * Makes what finds the meaning of each access to a device's registers, one after the other: some say what the next is
 * about.
 *
 * @param fields Of the device's configuration, in their order.
 */
export function registerMeanings(
  names: Names,
  fields: readonly Field[],
): (structure: StructureName, offset: number, access: Access) => Meaning {
  const selected: Selected = {
    queue_select: 0,
    device_feature_select: 0,
    driver_feature_select: 0,
  };
  return (structure, offset, access) => {
    const known = REGISTERS[structure].find(([at]) => at === offset);
    if (!known) return { name: fieldAt(fields, offset), section: "2.5" };
    const [, name, section, explain] = known;
    if (access.write && name in selected) selected[name as keyof Selected] = access.value;
    const meaning = explain?.(access, selected, names);
    return { name, section, ...(meaning !== undefined && { meaning }) };
  };
}

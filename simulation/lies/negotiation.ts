// Lies during the status handshake.

import { DeviceStatus } from "../../core/virtio/status.ts";
import type { Lie, LieHandle } from "../lie.ts";
import {
  ACCESS_PLATFORM,
  OPTIONAL_FEATURES,
  ORDER_PLATFORM,
  RING_RESET,
  VERSION_1,
} from "../model.ts";
import type { Lies } from "./lies.ts";

const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK } = DeviceStatus;

/** Lies about status, features, queues as the registers show them, and configuration. */
export const NEGOTIATION: Lies = {
  "D-19": () => ({
    does: "keeps no status bit",
    read: (field, value) => field === "device_status" ? 0 : value,
  }),
  "D-20": () => ({
    does: "refuses every choice of features",
    read: (field, value) => field === "device_status" ? value & ~FEATURES_OK : value,
  }),
  "D-21": () => ({
    does: "reads its status as all ones",
    read: (field, value) => field === "device_status" ? 0xff : value,
  }),
  "D-22": () => needsResetAt(FEATURES_OK),
  "D-23": () => ({
    does: "does not offer VIRTIO_F_VERSION_1",
    features: (offered) => offered & ~VERSION_1,
  }),
  "D-24": () => {
    let stuck = false;
    return {
      does: "never ends a reset once it was in use",
      write(field, value) {
        if (field === "device_status" && value & DRIVER_OK) stuck = true;
        return value;
      },
      read: (field, value) => field === "device_status" && stuck && value === 0 ? 1 : value,
    };
  },
  "D-25": () => {
    let wasZero = false;
    return {
      does: "raises its status by itself after a reset",
      write(field, value) {
        if (field === "device_status") wasZero = false;
        return value;
      },
      read(field, value) {
        if (field !== "device_status" || value !== 0) return value;
        if (wasZero) return ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
        wasZero = true;
        return 0;
      },
    };
  },
  "D-26": () => {
    let reads = 0;
    return {
      does: "offers other features at every read",
      features: (offered) => offered ^ BigInt(reads++ & 0xff),
    };
  },
  "D-27": () => ({
    does: "offers features without those that they need",
    // VIRTIO_NET_F_CSUM, VIRTIO_BLK_F_FLUSH, VIRTIO_NET_F_CTRL_VQ.
    features: (offered) => offered & ~(1n << 0n | 1n << 9n | 1n << 17n),
  }),
  "D-28": () => ({
    does: "offers every feature",
    with: OPTIONAL_FEATURES,
    features: () => (1n << 128n) - 1n,
  }),
  "D-29": () => ({
    does: "shows the same 32 features whichever are selected",
    write: (field, value) => field === "device_feature_select" ? 1 : value,
  }),
  "D-30": () => {
    let resetting = false;
    return {
      does: "offers to reset queues and never ends it",
      with: ACCESS_PLATFORM | ORDER_PLATFORM | RING_RESET,
      write(field, value) {
        if (field === "device_status") resetting = false;
        if (field !== "queue_reset") return value;
        resetting = true;
        return 0;
      },
      read: (field, value) => field === "queue_reset" && resetting ? 1 : value,
    };
  },

  "D-31": () => ({
    does: "claims 65535 queues",
    read: (field, value) => field === "num_queues" ? 0xffff : value,
  }),
  "D-32": () => ({ does: "has queues of size 0", queueSize: () => 0 }),
  "D-33": () => ({ does: "has queues of size 3", queueSize: () => 3 }),
  "D-34": () => ({ does: "has queues of size 32768", queueSize: () => 32768 }),
  "D-35": () => {
    let written = false;
    return {
      does: "takes half the size that a queue is given",
      write(field, value) {
        if (field === "queue_size") written = true;
        if (field === "queue_select" || field === "device_status") written = false;
        return value;
      },
      read: (field, value) => field === "queue_size" && written ? value >> 1 : value,
    };
  },
  "D-36": () => ({
    does: "does not say that a queue was enabled",
    read: (field, value) => field === "queue_enable" ? 0 : value,
  }),
  "D-37": () => {
    let generation = 0;
    return {
      does: "changes the configuration's generation at every read",
      read: (field, value) => field === "config_generation" ? generation++ & 0xff : value,
    };
  },
  "D-38": () => ({
    does: "has a configuration of all ones",
    deviceConfig: (bytes) => bytes.slice().fill(0xff),
  }),
  "D-39": () => {
    let running = false;
    return {
      does: "has a configuration of zeros once it is in use, and does not say so",
      write(field, value) {
        if (field === "device_status") running = (value & DRIVER_OK) !== 0;
        return value;
      },
      deviceConfig: (bytes) => running ? bytes.slice().fill(0) : bytes,
    };
  },
  "D-40": () => ({
    does: "has a configuration of four bytes",
    config(space, { device }) {
      if (device !== 0) space.setUint32(device + 12, 4, true);
    },
  }),
};

/** D-22 at any step: sets DEVICE_NEEDS_RESET when the driver sets this bit of the status, each time anew. */
export function needsResetAt(bit: number): Lie {
  let device: LieHandle;
  let before = 0;
  return {
    id: "D-22",
    does: `needs a reset as soon as its status has bit ${bit}`,
    attach: (handle) => device = handle,
    write(field, value) {
      if (field !== "device_status") return value;
      if (value & bit && !(before & bit)) device.needsReset("it lies");
      before = value;
      return value;
    },
  };
}

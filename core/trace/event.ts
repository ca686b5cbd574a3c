// What a trace tells.

/**
 * Which part did something: the core, a driver in its host, the application's client, or a device; where a device is served to
 * other programs, the driver of its guest, and the machine that the guest is in.
 */
export type Actor = "core" | "driver" | "client" | "device" | "machine";

/** A descriptor of a request, as it stands in the ring or in the request's table (virtio 1.4, 2.7.5, 2.8.1). */
export interface TracedDescriptor {
  /** Its place in the ring, or in the table. */
  readonly slot: number;
  /** The device's address of the buffer, in hexadecimal. */
  readonly address: string;
  /** Bytes of the buffer. */
  readonly bytes: number;
  /** Whether the device writes there. */
  readonly write: boolean;
}

/** What happened, without when and to which device. */
export type Told =
  /** A device went from one state of its life to another. */
  | {
    /** What kind of event it is. */
    readonly kind: "state";
    /** Which part of the program. */
    readonly by: "core" | "device";
    /** The state it is in now. */
    readonly state: string;
    /** Why, if there is something to say. */
    readonly why?: string;
  }
  /** Registers were read or written. */
  | {
    /** What kind of event it is. */
    readonly kind: "register";
    /** Which part of the program. */
    readonly by: "core" | "driver";
    /** What was done. */
    readonly access: "read" | "write";
    /** The structure or the window that it is in. */
    readonly window: string;
    /** Where in the window, in bytes. */
    readonly offset: number;
    /** In bytes. */
    readonly width: number;
    /** What was read or written. */
    readonly value: number;
    /** Its name in the specification, what the value means, and where that stands; if the core knows it. */
    readonly name?: string;
    /** What the value means. */
    readonly meaning?: string;
    /** The section of virtio 1.4 that tells of it. */
    readonly section?: string;
  }
  /** A message went over the bus, when the core sent or read it; or the machine of a guest told a served device something. */
  | {
    /** What kind of event it is. */
    readonly kind: "message";
    /** Which part of the program. */
    readonly by: "core" | "driver" | "machine";
    /** Which message of the vocabulary. */
    readonly type: string;
    /** What it says, as JSON. */
    readonly body: Readonly<Record<string, unknown>>;
  }
  /** A served device found a ring that a driver has set up. */
  | {
    /** What kind of event it is. */
    readonly kind: "ring";
    /** Which part of the program. */
    readonly by: "device";
    /** The name of the queue. */
    readonly queue: string;
    /** Its layout (2.7, 2.8). */
    readonly layout: "split" | "packed";
    /** Its entries. */
    readonly size: number;
  }
  /** The driver made a request, which the device may see once it is published; or a served device took one. */
  | {
    /** What kind of event it is. */
    readonly kind: "request";
    /** Which part of the program. */
    readonly by: "driver" | "device";
    /** The name of the queue in the driver's plan. */
    readonly queue: string;
    /** A running number in its queue. */
    readonly number: number;
    /** The driver's own number for it, mostly the slot of a lane. */
    readonly cookie: number;
    /** Head of its chain in a split ring, buffer id in a packed one. */
    readonly id: number;
    /** Whether the ring has one descriptor for it, of a table. */
    readonly indirect: boolean;
    /** Its descriptors, in their order. */
    readonly descriptors: readonly TracedDescriptor[];
  }
  /** The requests made since the last time were shown to the device. */
  | {
    /** What kind of event it is. */
    readonly kind: "publish";
    /** Which part of the program. */
    readonly by: "driver";
    /** The name of the queue in the driver's plan. */
    readonly queue: string;
    /** How many. */
    readonly requests: number;
  }
  /** The device used a request, and the driver found that; or a served device used it. */
  | {
    /** What kind of event it is. */
    readonly kind: "used";
    /** Which part of the program. */
    readonly by: "driver" | "device";
    /** The name of the queue in the driver's plan. */
    readonly queue: string;
    /** The number of the request in its queue; 0 if a served device gives back what it does not have. */
    readonly number: number;
    /** The driver's own number for it. */
    readonly cookie: number;
    /** Bytes that the device says it wrote. */
    readonly written: number;
  }
  /** The device was notified. */
  | {
    /** What kind of event it is. */
    readonly kind: "doorbell";
    /** Which part of the program. */
    readonly by: "driver";
    /** The name of the queue in the driver's plan. */
    readonly queue: string;
    /** What the driver tells under VIRTIO_F_NOTIFICATION_DATA (2.9). */
    readonly data: number;
  }
  /** The device interrupted: when it was heard; of a served device, when it was sent. */
  | {
    /** What kind of event it is. */
    readonly kind: "interrupt";
    /** Which part of the program. */
    readonly by: "core" | "driver" | "device";
    /** Which of its interrupts, for people. */
    readonly source: string;
  }
  /** A request of a lane: the client submits it, the driver takes it, the driver completes it, the client gets it. */
  | {
    /** What kind of event it is. */
    readonly kind: "lane";
    /** Which part of the program. */
    readonly by: "client" | "driver";
    /** How far it is. */
    readonly step: "submit" | "take" | "complete" | "end";
    /** The name of the lane in the driver's plan. */
    readonly lane: string;
    /** The slot of the lane. */
    readonly slot: number;
    /** Of a request: what to do, bytes, and the first words of the class. Of its end: a `Status`, and bytes. */
    readonly words: readonly number[];
  }
  /** A check of a device or a driver began or ended. */
  | {
    /** What kind of event it is. */
    readonly kind: "check";
    /** Which part of the program. */
    readonly by: "core";
    /** Whether it begins or ends. */
    readonly step: "begin" | "end";
    /** What the check is called. */
    readonly name: string;
    /** What came of it, at its end. */
    readonly verdict?: string;
    /** Why, if there is something to say. */
    readonly why?: string;
    /** The section of virtio 1.4 that it is about. */
    readonly section?: string;
  }
  /** The clock of a process was compared with that of the machine. */
  | {
    /** What kind of event it is. */
    readonly kind: "clock";
    /** Which part of the program. */
    readonly by: "core" | "driver";
    /** Milliseconds that its times may be wrong by. */
    readonly uncertainty: number;
  }
  /** Something could not be noted. */
  | {
    /** What kind of event it is. */
    readonly kind: "lost";
    /** Which part of the program. */
    readonly by: "core" | "driver";
    /** How many events. */
    readonly count: number;
    /** Why, if there is something to say. */
    readonly why: string;
  };

/** What happened, when, and to which device. */
export type TraceEvent = Told & {
  /** Milliseconds on the machine's monotonic clock, which is the same in all processes. */
  readonly at: number;
  /** PCI address. */
  readonly device: string;
  /** The device's driver. */
  readonly driver: string;
};

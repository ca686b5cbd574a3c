/** What a virtual machine may tell of itself: bits of the device's register (QEMU, docs/specs/pvpanic.rst). */
export const PanicEvent = {
  /** It has panicked. */
  panicked: 1,
  /** It has panicked, and takes care of that itself. */
  crashLoaded: 2,
} as const;

/** The operation that asks which events the device knows: the first word of the answer. All others are an event. */
export const WHICH = 0;

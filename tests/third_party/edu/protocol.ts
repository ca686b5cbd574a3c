/** What a request to an educational device asks for. */
export const EduOperation = {
  /** The factorial of the first word of the slot's data, put in its place. */
  factorial: 0,
  /** Bytes of the slot's data to the device's buffer. */
  store: 1,
  /** Bytes of the device's buffer to the slot's data. */
  load: 2,
} as const;

/** Bytes of a slot: half of the device's buffer, since QEMU before 9 ends itself where a transfer fills it to the last byte. */
export const EDU_BYTES = 2048;

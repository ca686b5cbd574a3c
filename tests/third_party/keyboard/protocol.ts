/** Bytes of an event: its type and its code, 16 bits each, and its value, 32 bits (virtio 1.4, 5.8.6). */
export const EVENT_BYTES = 8;
/** Types of events. */
export const EventType = { key: 0x01, led: 0x11 } as const;

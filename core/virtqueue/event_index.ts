/**
 * Whether an index that moved from `before` to `now` passed `event`: the other side asked to be told when the
 * entry `event` is used (virtio 1.4, 2.7.10). All three count modulo 65536, so plain comparison would be wrong.
 */
export function passed(event: number, now: number, before: number): boolean {
  return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);
}

/** Values of the flags of a packed ring's event suppression (2.8.10): tell me nothing. */
export const EVENT_DISABLE = 1;
/** Tell me when a certain descriptor is made available or used. Only with VIRTIO_F_EVENT_IDX. */
export const EVENT_DESCRIPTOR = 2;

/**
 * Whether the other side of a packed ring wants to be told of the last `moved` descriptors (2.8.10).
 *
 * @param event Its event suppression structure: place and wrap counter, then the flags.
 * @param next The slot behind those descriptors.
 * @param wrap The wrap counter there, 0 or 1.
 * @param eventIndex Whether VIRTIO_F_EVENT_IDX was agreed.
 * @returns True also for what makes no sense: one notification too many does no harm (rule D-61).
 */
export function wanted(
  event: number,
  next: number,
  wrap: number,
  moved: number,
  size: number,
  eventIndex: boolean,
): boolean {
  const flags = event >>> 16 & 3;
  if (flags === EVENT_DISABLE) return false;
  if (flags !== EVENT_DESCRIPTOR || !eventIndex) return true;
  const slot = event & 0x7fff;
  if (slot >= size) return true;
  const behind = next - slot + ((event >>> 15 & 1) === wrap ? 0 : size);
  return behind > 0 && behind <= moved;
}

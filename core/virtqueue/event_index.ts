/**
 * Whether an index that moved from `before` to `now` passed `event`: the other side asked to be told when the
 * entry `event` is used (virtio 1.4, 2.7.10). All three count modulo 65536, so plain comparison would be wrong.
 */
export function passed(event: number, now: number, before: number): boolean {
  return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);
}

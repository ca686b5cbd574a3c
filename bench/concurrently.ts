/**
 * Does something again and again, so many at a time.
 *
 * @returns How often a millisecond.
 */
export async function concurrently(
  depth: number,
  milliseconds: number,
  work: (turn: number) => Promise<unknown>,
): Promise<number> {
  const begin = performance.now();
  let turn = 0;
  await Promise.all(Array.from({ length: depth }, async () => {
    while (performance.now() - begin < milliseconds) await work(turn++);
  }));
  return turn / (performance.now() - begin);
}

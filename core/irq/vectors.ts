/** Who is told by which MSI-X vector. */
export interface VectorPlan {
  /** Vector and eventfd for changed configuration; undefined if there is none to spare. */
  readonly config?: { readonly vector: number; readonly fd: number };
  /** Eventfds by which queues interrupt. */
  readonly queueFds: readonly number[];
  /** Vector of the `i`-th queue; undefined if queues are polled. */
  readonly queue: (i: number) => number | undefined;
}

/**
 * Shares the vectors that there are: the first for changed configuration, the others in turn among the queues; a
 * single one goes to the queues.
 *
 * @param fds The eventfd of each vector.
 */
export function planVectors(fds: readonly number[]): VectorPlan {
  if (fds.length < 2) return { queueFds: fds, queue: () => fds.length === 0 ? undefined : 0 };
  const queueFds = fds.slice(1);
  return {
    config: { vector: 0, fd: fds[0]! },
    queueFds,
    queue: (i) => 1 + i % queueFds.length,
  };
}

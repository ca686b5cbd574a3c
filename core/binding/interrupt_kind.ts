/**
 * How a device tells that it is done, from best to worst: a vector for each queue, one vector for all queues, the
 * interrupt pin, or not at all.
 */
export const INTERRUPTS: readonly InterruptKind[] = ["msix", "shared", "intx", "polling"];

/** One of {@linkcode INTERRUPTS}. */
export type InterruptKind = "msix" | "shared" | "intx" | "polling";

/** One figure of the ring benchmarks. */
export interface Figure {
  /** Which ring. */
  readonly kind: "split" | "packed";
  /** Descriptors in each request. */
  readonly descriptors: number;
  /** Requests for each publish and drain. */
  readonly batch: number;
  /** Nanoseconds for a request: add, device, drain. Median of the rounds. */
  readonly ns: number;
}

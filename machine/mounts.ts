/** Where the kernel shows itself. */
export interface Mounts {
  /** `/sys`. */
  readonly sysfs: string;
  /** `/proc`. */
  readonly proc: string;
  /** `/dev`. */
  readonly dev: string;
}

/** Where that usually is. */
export const MOUNTS: Mounts = { sysfs: "/sys", proc: "/proc", dev: "/dev" };

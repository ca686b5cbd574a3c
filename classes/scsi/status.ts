/** SCSI statuses (SAM-5, 5.3). */
export const ScsiStatus = {
  /** Done. */
  good: 0x00,
  /** See the sense data. */
  checkCondition: 0x02,
  /** Done, and what was looked for was found. */
  conditionMet: 0x04,
  /** Try again. */
  busy: 0x08,
  /** Another initiator has reserved the unit. */
  reservationConflict: 0x18,
  /** It has as many commands as it takes; try again. */
  taskSetFull: 0x28,
  /** An auto contingent allegiance is on. */
  acaActive: 0x30,
  /** Aborted by another initiator. */
  taskAborted: 0x40,
} as const;

const WORDS: Readonly<Record<number, string>> = {
  [ScsiStatus.good]: "good",
  [ScsiStatus.checkCondition]: "check condition without sense data",
  [ScsiStatus.conditionMet]: "condition met",
  [ScsiStatus.busy]: "the unit is busy",
  [ScsiStatus.reservationConflict]: "another initiator has reserved the unit",
  [ScsiStatus.taskSetFull]: "the unit takes no more commands",
  [ScsiStatus.acaActive]: "an auto contingent allegiance is on",
  [ScsiStatus.taskAborted]: "another initiator aborted it",
};

/** A status in words. */
export function scsiStatusText(status: number): string {
  return WORDS[status] ?? `the unit's status 0x${status.toString(16)} is none`;
}

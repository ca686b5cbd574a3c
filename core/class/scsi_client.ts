/** An application's view of a SCSI host adapter. */
export class ScsiClient {}

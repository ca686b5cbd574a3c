/** An application's view of a memory balloon. */
export class BalloonClient {}

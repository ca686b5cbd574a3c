/** An application's view of a console device. */
export class ConsoleClient {}

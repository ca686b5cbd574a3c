/** An application's view of a network card. */
export class NetClient {}

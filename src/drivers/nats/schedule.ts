/**
 * What makes the server publish a message later, from 2.12 on. A time to live of its own keeps a schedule for longer than a
 * stream keeps its messages; what it publishes ages as anything else.
 */
export const scheduleHeaders = (notBefore: number, target: string): string =>
  `Nats-Schedule: @at ${new Date(notBefore).toISOString()}\r\nNats-Schedule-Target: ${target}\r\nNats-TTL: never\r\n`;

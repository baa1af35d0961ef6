export { nats } from "./nats.ts";
export type { NatsAttachment, NatsOptions, NatsTlsOptions } from "./options.ts";
export type { NatsClient } from "./client.ts";

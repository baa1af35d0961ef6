export { kafka } from "./kafka.ts";
export type { KafkaOptions, KafkaTlsOptions } from "./kafka-options.ts";

export { kafka } from "./kafka.ts";
export type { KafkaAttachment, KafkaOptions, KafkaTlsOptions } from "./kafka-options.ts";
